{{/* What every pod has. */}}

{{/* (dict "root" $ "of" .Values.api "name" "hyperfleet-api"): placement, security and patience. */}}
{{- define "hyperfleet.pod" -}}
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
terminationGracePeriodSeconds: 30
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {app: {{ $.name }}}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{- define "hyperfleet.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "hyperfleet.probes" -}}
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}

{{/* The mount and the volume of the token for the API. */}}
{{- define "hyperfleet.tokenMount" -}}
- {name: api-token, mountPath: /var/run/secrets/hyperfleet, readOnly: true}
{{- end }}
{{- define "hyperfleet.tokenVolume" -}}
- name: api-token
  {{- with .Values.hyperfleetAPI.tokenSecret }}
  {{- if .name }}
  secret:
    secretName: {{ .name }}
    items: [{key: {{ .key }}, path: token}]
  {{- else }}
  projected:
    sources:
      - serviceAccountToken: {path: token, audience: {{ $.Values.api.auth.audience | quote }}, expirationSeconds: 3600}
  {{- end }}
  {{- end }}
{{- end }}

{{/* How a sentinel or an adapter reaches the API and the broker: (dict "root" $ "secret" name). */}}
{{- define "hyperfleet.workerEnv" -}}
- {name: HYPERFLEET_API_URL, value: {{ .root.Values.hyperfleetAPI.url | quote }}}
- {name: HYPERFLEET_API_TOKEN_FILE, value: /var/run/secrets/hyperfleet/token}
{{- if eq .root.Values.broker.type "rabbitmq" }}
- {name: HYPERFLEET_BROKER_SECRETS_DIR, value: /etc/hyperfleet/brokers}
{{- with .root.Values.broker.rabbitmq.url }}
- {name: HYPERFLEET_BROKER_URL, value: {{ . | quote }}}
{{- end }}
{{- else }}
{{- with .root.Values.broker.gcpPubsub }}
{{- if .createTopology }}
- {name: HYPERFLEET_BROKER_CREATE_TOPOLOGY, value: "true"}
{{- end }}
{{- if .credentialsSecret.name }}
- {name: GOOGLE_APPLICATION_CREDENTIALS, value: /etc/hyperfleet/brokers/gcp/{{ .credentialsSecret.key }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "hyperfleet.brokerMount" -}}
{{- with include "hyperfleet.brokerSecret" . }}
- {name: broker, mountPath: /etc/hyperfleet/brokers/{{ if eq $.root.Values.broker.type "rabbitmq" }}{{ . }}{{ else }}gcp{{ end }}, readOnly: true}
{{- end }}
{{- end }}
{{- define "hyperfleet.brokerVolume" -}}
{{- with include "hyperfleet.brokerSecret" . }}
- name: broker
  secret: {secretName: {{ . }}}
{{- end }}
{{- end }}
{{- define "hyperfleet.brokerSecret" -}}
{{- if eq .root.Values.broker.type "rabbitmq" }}{{ .secret }}{{ else }}{{ .root.Values.broker.gcpPubsub.credentialsSecret.name }}{{ end -}}
{{- end }}

{{/* replicas, unless something else counts them: (dict "of" .Values.api "keda" false). */}}
{{- define "hyperfleet.replicas" -}}
{{- if not (or .of.autoscaling.enabled .keda) }}
replicas: {{ .replicas }}
{{- end }}
{{- end }}

{{/* A budget for what has more than one replica: (dict "root" $ "component" "api" "name" "hyperfleet-api" "least" 3). */}}
{{- define "hyperfleet.budget" -}}
{{- if and .root.Values.podDisruptionBudget.enabled (gt (int .least) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "hyperfleet.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {app: {{ .name }}}
{{- end }}
{{- end }}

{{/* An autoscaler: (dict "root" $ "component" "api" "name" "hyperfleet-api" "autoscaling" .Values.api.autoscaling). */}}
{{- define "hyperfleet.autoscaler" -}}
{{- with .autoscaling }}
{{- if .enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "hyperfleet.metadata" $ | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $.name }}}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .cpu }}}
{{- end }}
{{- end }}
{{- end }}
