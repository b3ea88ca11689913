import type { KubernetesObject } from '../../src/kubernetes/object.ts'

/** Packages with the types and checks of groups of the API. */
const PACKAGES: Readonly<Record<string, string>> = {
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
  'networking.istio.io': '@kubernetes-models/istio',
  'keda.sh': '@kubernetes-models/keda',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
  'external-secrets.io': '@kubernetes-models/external-secrets',
  'argoproj.io': '@kubernetes-models/argo-cd',
}
/** No package has them; the real API server with their real definitions does (test/cluster). */
const UNKNOWN = new Set(['policy.linkerd.io', 'linkerd.io'])

type Model = new (object: object) => { validate(): void }

/** Checks types, required fields and ranges. @returns whether anything was there to check by. @throws what is wrong */
export async function validate(object: KubernetesObject): Promise<boolean> {
  const parts = object.apiVersion.split('/')
  const [group, version] = parts.length === 2 ? parts : ['', parts[0]]
  if (UNKNOWN.has(group!)) return false
  const models = (await import(
    [PACKAGES[group!] ?? 'kubernetes-models', group, version].filter((part) => part !== '').join('/')
  )) as Record<string, Model>
  const Kind = models[object.kind]
  if (Kind === undefined) throw new Error(`${object.apiVersion} has no ${object.kind}`)
  new Kind(object).validate()
  return true
}
