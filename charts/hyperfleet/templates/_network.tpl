{{/* Pieces of NetworkPolicies. What is behind a Service is reached at the pod's port. */}}

{{- define "hyperfleet.dnsEgress" -}}
- to:
    - namespaceSelector: {}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{/* Peers and ports: (dict "to" peers "ports" (list 443)); no peers: anywhere. */}}
{{- define "hyperfleet.egress" -}}
- ports:
    {{- range uniq .ports }}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* To the API: in this namespace where it is here. */}}
{{- define "hyperfleet.apiEgress" -}}
{{- $url := urlParse .Values.hyperfleetAPI.url -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- $to := .Values.networkPolicy.apiTo -}}
{{- if include "hyperfleet.isHub" . }}{{ $to = list (dict "podSelector" (dict "matchLabels" (dict "app" "hyperfleet-api"))) }}{{ end -}}
{{- include "hyperfleet.egress" (dict "to" $to "ports" (list "8080" $port)) }}
{{- end }}

{{- define "hyperfleet.brokerEgress" -}}
{{- $n := .Values.networkPolicy -}}
{{- if .Values.dev.rabbitmq.enabled -}}
{{ include "hyperfleet.egress" (dict "to" (list (dict "podSelector" (dict "matchLabels" (dict "app" "hyperfleet-rabbitmq")))) "ports" (list 5672)) }}
{{- else if eq .Values.broker.type "rabbitmq" -}}
{{ include "hyperfleet.egress" (dict "to" $n.brokerTo "ports" (list $n.brokerPort)) }}
{{- else -}}
{{ include "hyperfleet.egress" (dict "to" $n.brokerTo "ports" (list 443)) }}
{{- if not .Values.broker.gcpPubsub.credentialsSecret.name }}
# Workload identity asks the node's metadata server.
- to:
    - ipBlock: {cidr: 169.254.169.254/32}
    - ipBlock: {cidr: 169.254.169.252/32}
  ports:
    - {protocol: TCP, port: 80}
    - {protocol: TCP, port: 988}
{{- end }}
{{- end }}
{{- end }}

{{- define "hyperfleet.kubernetesEgress" -}}
{{ include "hyperfleet.egress" (dict "to" .Values.networkPolicy.kubernetesTo "ports" .Values.networkPolicy.kubernetesPorts) }}
{{- end }}

{{- define "hyperfleet.metricsIngress" -}}
- from:
    - namespaceSelector:
        matchLabels:
          {{- toYaml .Values.networkPolicy.metricsFrom | nindent 10 }}
  ports:
    - {protocol: TCP, port: 8081}
{{- end }}

{{/* Everything that no other policy allows is denied: (dict "root" $ "part" "hub"). */}}
{{- define "hyperfleet.deny" }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "hyperfleet.metadata" (dict "root" .root "component" .part "name" (printf "hyperfleet-%s-deny" .part)) | nindent 2 }}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
{{- end }}

{{/* The beginning of a policy: (dict "root" $ "component" … "name" … "app" …). */}}
{{- define "hyperfleet.policy" }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "hyperfleet.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- with .app }}
      app: {{ . }}
      {{- else }}
      app.kubernetes.io/name: hyperfleet
      app.kubernetes.io/component: {{ .component }}
      {{- end }}
  policyTypes: [Ingress, Egress]
{{- end }}
