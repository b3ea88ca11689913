import { SlipwayError } from '../../core/errors.ts'
import { FORM_NAMES, packageEndpoint } from '../../kubernetes/packaging/packaging.ts'
import { note } from '../output.ts'
import type { Command } from 'commander'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { KubernetesObject } from '../../kubernetes/object.ts'
import type { Form, PackagingOptions } from '../../kubernetes/packaging/packaging.ts'

export interface FormOptions extends Omit<PackagingOptions, 'environments'> {
  readonly as?: string
  readonly overlay?: string[]
}

export interface Made {
  readonly objects: readonly KubernetesObject[]
  /** Files that are more than a list of objects. */
  readonly texts?: ReadonlyMap<string, string>
}

/** Adds the options of what is made of objects for tools of others; `--control-plane` is there already. */
export function asksForm(command: Command): Command {
  return command
    .option('--as <form>', `what to make of the objects: ${FORM_NAMES.join(', ')}. Default: the objects`)
    .option(
      '--overlay <names...>',
      'kustomize, argo-cd: a namespace each, the last as declared. Default: staging production; of argo-cd none',
    )
    .option('--repository <url>', 'argo-cd: the repository of Git with what was rendered')
    .option('--revision <name>', 'argo-cd: branch, tag or commit. Default: HEAD')
    .option('--path <folder>', 'argo-cd: where in the repository. Default: the name of the endpoint')
    .option('--prometheus <url>', 'argo-rollouts, flagger: a Prometheus that judges new pods')
    .option('--rollout <id>', 'argo-rollouts, flagger: the rollout of the control plane (--control-plane) whose verdict counts')
    .option('--alert-secret <name>', 'flagger: the Secret whose key `address` is a webhook of Slack')
    .option('--storage-uri <uri>', 'kserve: where the model lies (oci://, pvc://, s3://). Default: in the image')
    .option('--serverless', 'kserve: with Knative')
}

/** @throws SLW_USAGE for a form that is not there */
export function madeOf(documents: readonly EndpointDocument[], { as, overlay, ...options }: FormOptions & { readonly as: string }): Made {
  if (!FORM_NAMES.includes(as as Form)) throw new SlipwayError('SLW_USAGE', `--as: there is no "${as}"; there is ${FORM_NAMES.join(', ')}`)
  const objects: KubernetesObject[] = []
  const texts = new Map<string, string>()
  for (const document of documents) {
    const { name } = document.metadata
    const result = packageEndpoint(document, as as Form, { ...options, ...(overlay !== undefined && { environments: overlay }) })
    for (const sentence of result.notes) note(`${name}: ${sentence}`)
    if ('objects' in result) objects.push(...result.objects)
    // Several endpoints have a folder each.
    else for (const [path, text] of result.files) texts.set(documents.length === 1 ? path : `${name}/${path}`, text)
  }
  return texts.size === 0 ? { objects } : { objects, texts }
}
