{{/* Names and labels. Names are those of the specification, without the release's: one release per namespace. */}}

{{- define "hyperfleet.isHub" -}}{{ if has .Values.role (list "hub" "all-in-one") }}yes{{ end }}{{- end }}
{{- define "hyperfleet.isRegion" -}}{{ if has .Values.role (list "region" "all-in-one") }}yes{{ end }}{{- end }}

{{/* Labels of an object: (dict "root" $ "component" "api"). */}}
{{- define "hyperfleet.labels" -}}
app.kubernetes.io/name: hyperfleet
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* metadata of an object: (dict "root" $ "component" "api" "name" "hyperfleet-api"). */}}
{{- define "hyperfleet.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "hyperfleet.labels" . | nindent 2 }}
{{- end }}

{{/* The same for what belongs to no namespace, whose name says which it is for. */}}
{{- define "hyperfleet.clusterMetadata" -}}
name: {{ .name }}.{{ .root.Release.Namespace }}
labels:
  {{- include "hyperfleet.labels" . | nindent 2 }}
{{- end }}

{{/* Labels of a pod: (dict "root" $ "component" "api" "name" "hyperfleet-api"). */}}
{{- define "hyperfleet.podLabels" -}}
app: {{ .name }}
app.kubernetes.io/name: hyperfleet
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{/* An image: (dict "root" $ "image" .Values.api.image). */}}
{{- define "hyperfleet.image" -}}
{{- $i := .root.Values.image -}}
{{- $repository := printf "%s/%s" $i.registry .image.repository | trimPrefix "/" -}}
{{- with .image.digest }}{{ $repository }}@{{ . }}{{ else }}{{ $repository }}:{{ .image.tag | default $i.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* The SentinelConfig of a key of sentinel.configs, in a region: (dict "config" "cluster-sentinel" "region" "us-east"). */}}
{{- define "hyperfleet.shard" -}}{{ .config }}{{ with .region }}-{{ . }}{{ end }}{{- end }}

{{/* The adapters that are wanted, as JSON: a null takes one away. */}}
{{- define "hyperfleet.adapters" -}}
{{- $all := dict -}}
{{- range $type, $a := .Values.adapters }}{{ if $a }}{{ $_ := set $all $type $a }}{{ end }}{{ end -}}
{{- toJson $all -}}
{{- end }}
