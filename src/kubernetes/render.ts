import { autoscalers } from './objects/autoscaler.ts'
import { configDigest, configMap } from './objects/config-map.ts'
import { deployment } from './objects/deployment.ts'
import { disruptionBudgets } from './objects/disruption-budget.ts'
import { externalSecrets } from './objects/external-secret.ts'
import { falcoRules } from './objects/falco.ts'
import { httpRoutes } from './objects/gateway.ts'
import { deviceSharing } from './objects/gpu.ts'
import { ingresses } from './objects/ingress.ts'
import { istioObjects } from './objects/istio.ts'
import { linkerdObjects } from './objects/linkerd.ts'
import { monitors } from './objects/monitors.ts'
import { networkPolicies } from './objects/network-policy.ts'
import { services } from './objects/service.ts'
import { resolveKubernetes } from './resolve.ts'
import type { EndpointDocument } from '../contract/endpoint.ts'
import type { KubernetesObject } from './object.ts'

/**
 * The objects of an endpoint, in the order in which they are applied.
 * @throws SLW_CONFIG_INVALID with every part that Kubernetes cannot have, or that is missing
 */
export function renderEndpoint(document: EndpointDocument): KubernetesObject[] {
  const resolved = resolveKubernetes(document)
  const workloads = resolved.workloads.map((workload) => ({ workload, config: configMap(resolved, workload) }))
  return [
    ...workloads.map(({ config }) => config),
    ...deviceSharing(resolved),
    ...falcoRules(resolved),
    ...externalSecrets(resolved),
    ...networkPolicies(resolved),
    ...services(resolved),
    ...workloads.map(({ workload, config }) => deployment(resolved, workload, configDigest(config))),
    ...disruptionBudgets(resolved),
    ...autoscalers(resolved),
    ...istioObjects(resolved),
    ...linkerdObjects(resolved),
    ...httpRoutes(resolved),
    ...ingresses(resolved),
    ...monitors(resolved),
  ]
}
