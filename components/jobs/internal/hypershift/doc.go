// Package hypershift renders a cluster as HyperShift sees it: one HostedCluster
// and a NodePool for each node pool (hypershift.openshift.io/v1beta1), in one
// file. It is a pure function of the cluster and of what the jobs before it
// returned.
package hypershift
