import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { manifestFiles, manifestOf } from '../../kubernetes/manifest.ts'
import { FORM_NAMES, packageEndpoint } from '../../kubernetes/packaging/packaging.ts'
import { renderEndpoint } from '../../kubernetes/render.ts'
import { note, print } from '../output.ts'
import { asksTarget, endpointsOf } from './target.ts'
import type { Command } from 'commander'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { KubernetesObject } from '../../kubernetes/object.ts'
import type { Form, PackagingOptions } from '../../kubernetes/packaging/packaging.ts'

interface RenderOptions extends Omit<PackagingOptions, 'environments'> {
  readonly target: string
  readonly as?: string
  readonly output?: string
  readonly json?: true
  readonly environment?: string[]
}

export function define(command: Command): void {
  asksTarget(command)
    .option('--as <form>', `what to make of the objects: ${FORM_NAMES.join(', ')}. Default: the objects`)
    .option('-o, --output <folder>', 'write files there, instead of all to standard output')
    .option(
      '--environment <names...>',
      'kustomize, argo-cd: a namespace each, the last as declared. Default: staging production; of argo-cd none',
    )
    .option('--repository <url>', 'argo-cd: the repository of Git with what was rendered')
    .option('--revision <name>', 'argo-cd: branch, tag or commit. Default: HEAD')
    .option('--path <folder>', 'argo-cd: where in the repository. Default: the name of the endpoint')
    .option('--prometheus <url>', 'argo-rollouts, flagger: a Prometheus that judges new pods')
    .option('--control-plane <url>', 'argo-rollouts, flagger: a control plane whose verdict counts')
    .option('--rollout <id>', 'argo-rollouts, flagger: the rollout there')
    .option('--alert-secret <name>', 'flagger: the Secret whose key `address` is a webhook of Slack')
    .option('--storage-uri <uri>', 'kserve: where the model lies (oci://, pvc://, s3://). Default: in the image')
    .option('--serverless', 'kserve: with Knative')
    .option('--json', 'print the objects as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway render --target kubernetes churn.yaml\n  slipway render --target kubernetes churn.yaml | kubectl diff -f -\n  slipway render --target kubernetes churn.yaml --output manifests\n  slipway render --target kubernetes churn.yaml --as helm --output chart',
    )
    .action(render)
}

async function render(files: string[], options: RenderOptions): Promise<void> {
  const { target, output, json } = options
  const form = formOf(options.as)
  const documents = await endpointsOf(files, target)
  const { objects, texts } = made(documents, form, options)
  if (output === undefined) {
    if (texts !== undefined) throw new SlipwayError('SLW_USAGE', `--as ${form!} makes a folder of files: say where, with --output FOLDER`)
    process.stdout.write(
      json === true ? `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }, null, 2)}\n` : manifestOf(objects),
    )
    return
  }
  const written = texts ?? manifestFiles(objects)
  for (const [name, text] of written) {
    const path = join(output, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  if (json === true) print(JSON.stringify([...written.keys()]))
  else if (texts !== undefined) note(`${written.size} files in ${output}`)
  else note(`${written.size} objects in ${output}; apply them with: kubectl apply --server-side -f ${output}`)
}

/** @throws SLW_USAGE */
function formOf(name: string | undefined): Form | undefined {
  if (name === undefined || FORM_NAMES.includes(name as Form)) return name as Form | undefined
  throw new SlipwayError('SLW_USAGE', `--as: there is no "${name}"; there is ${FORM_NAMES.join(', ')}`)
}

interface Made {
  readonly objects: readonly KubernetesObject[]
  /** Files that are more than a list of objects. */
  readonly texts?: ReadonlyMap<string, string>
}

function made(documents: readonly EndpointDocument[], form: Form | undefined, { environment, ...options }: RenderOptions): Made {
  if (form === undefined) return { objects: documents.flatMap((document) => renderEndpoint(document)) }
  const objects: KubernetesObject[] = []
  const texts = new Map<string, string>()
  for (const document of documents) {
    const { name } = document.metadata
    const result = packageEndpoint(document, form, { ...options, ...(environment !== undefined && { environments: environment }) })
    for (const sentence of result.notes) note(`${name}: ${sentence}`)
    if ('objects' in result) objects.push(...result.objects)
    // Several endpoints have a folder each.
    else for (const [path, text] of result.files) texts.set(documents.length === 1 ? path : `${name}/${path}`, text)
  }
  return texts.size === 0 ? { objects } : { objects, texts }
}
