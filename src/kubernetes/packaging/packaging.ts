/** Forms for tools of others, each made of the objects that an endpoint is rendered to. */
import { argoCd } from './argo-cd.ts'
import { argoRollouts } from './argo-rollouts.ts'
import { flagger } from './flagger.ts'
import { helmChart } from './helm.ts'
import { kserve } from './kserve.ts'
import { kustomization } from './kustomize.ts'
import { prometheusAdapter } from './prometheus-adapter.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { ArgoCdOptions } from './argo-cd.ts'
import type { DeliveryOptions } from './delivery-options.ts'
import type { Package } from './files.ts'
import type { KServeOptions } from './kserve.ts'

export interface PackagingOptions extends ArgoCdOptions, DeliveryOptions, KServeOptions {}

const ENVIRONMENTS = ['staging', 'production'] as const

const FORMS = {
  helm: (document) => helmChart(document),
  kustomize: (document, { environments = ENVIRONMENTS }) => kustomization(document, environments),
  'argo-cd': (document, options) => argoCd(document, options),
  'argo-rollouts': (document, options) => argoRollouts(document, options),
  flagger: (document, options) => flagger(document, options),
  kserve: (document, options) => kserve(document, options),
  'prometheus-adapter': () => prometheusAdapter(),
} as const satisfies Record<string, (document: EndpointDocument, options: PackagingOptions) => Package>
export type Form = keyof typeof FORMS

export const FORM_NAMES = Object.keys(FORMS) as readonly Form[]

/** @throws SLW_CONFIG_INVALID for what Kubernetes or the tool cannot have; SLW_USAGE for options that are missing */
export function packageEndpoint(document: EndpointDocument, form: Form, options: PackagingOptions = {}): Package {
  return FORMS[form](document, options)
}
