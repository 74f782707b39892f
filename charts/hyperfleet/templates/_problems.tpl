{{/* What values.schema.json cannot say: every problem at once, before anything is created. */}}
{{- define "hyperfleet.problems" -}}
{{- $p := list -}}
{{- $v := .Values -}}
{{- if include "hyperfleet.isRegion" . -}}
{{- if and (eq $v.role "region") (not $v.region.name) -}}
{{- $p = append $p "region.name: name the region, such as us-east: its resources have the label region with that value" -}}
{{- end -}}
{{- if and (eq $v.broker.type "gcp-pubsub") (not $v.broker.gcpPubsub.projectID) -}}
{{- $p = append $p "broker.gcpPubsub.projectID: name the project that has the topics, or set broker.type to rabbitmq" -}}
{{- end -}}
{{- if not (include "hyperfleet.adapters" . | fromJson) -}}
{{- $p = append $p "adapters: want one at least" -}}
{{- end -}}
{{- range $type, $a := include "hyperfleet.adapters" . | fromJson -}}
{{- range $a.dependencies -}}
{{- if not (hasKey $v.adapters .) -}}
{{- $p = append $p (printf "adapters.%s.dependencies: there is no adapter %q" $type .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.keda.enabled $v.adapter.autoscaling.enabled -}}
{{- $p = append $p "keda.enabled, adapter.autoscaling.enabled: choose one of them: both would scale the adapters" -}}
{{- end -}}
{{- end -}}
{{- if and (include "hyperfleet.isHub" .) (eq $v.api.auth.mode "jwt") -}}
{{- if not (or $v.api.auth.kubernetes.enabled $v.api.auth.issuers) -}}
{{- $p = append $p "api.auth: trust one issuer at least: enable auth.kubernetes or list issuers" -}}
{{- end -}}
{{- if not (or (include "hyperfleet.regions" . | fromJsonArray) $v.api.auth.bindings) -}}
{{- $p = append $p "api.auth: nobody may do anything: name regions, or bind people in bindings" -}}
{{- end -}}
{{- $issuers := list -}}
{{- if $v.api.auth.kubernetes.enabled }}{{ $issuers = append $issuers $v.api.auth.kubernetes.issuer }}{{ end -}}
{{- range $v.api.auth.issuers }}{{ $issuers = append $issuers .issuer }}{{ end -}}
{{- range $i, $b := concat (include "hyperfleet.regions" . | fromJsonArray) $v.api.auth.bindings -}}
{{- $issuer := $b.issuer | default $v.api.auth.kubernetes.issuer -}}
{{- if not (has $issuer $issuers) -}}
{{- $p = append $p (printf "api.auth: issuer %q of region or binding %q is not trusted: list it in issuers" $issuer ($b.name | default $b.role)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.dev.postgresql.enabled (not (include "hyperfleet.isHub" .)) -}}
{{- $p = append $p "dev.postgresql.enabled: a region has no database: enable it in the hub's release" -}}
{{- end -}}
{{- if and $v.dev.rabbitmq.enabled (ne $v.broker.type "rabbitmq") -}}
{{- $p = append $p "dev.rabbitmq.enabled: set broker.type to rabbitmq too" -}}
{{- end -}}
{{- if $p -}}
{{- fail (printf "these values cannot work:\n  - %s\n" (join "\n  - " $p)) -}}
{{- end -}}
{{- end }}
