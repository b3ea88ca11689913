import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { manifestFiles, manifestOf } from '../../kubernetes/manifest.ts'
import { renderEndpoint } from '../../kubernetes/render.ts'
import { note, print } from '../output.ts'
import { asksComponent, componentObjects } from './component.ts'
import { asksTarget, endpointsOf } from './target.ts'
import type { Command } from 'commander'
import type { KubernetesObject } from '../../kubernetes/object.ts'
import type { ComponentOptions } from './component.ts'

interface RenderOptions extends ComponentOptions {
  readonly target: string
  readonly output?: string
  readonly json?: true
}

export function define(command: Command): void {
  asksComponent(asksTarget(command, { files: 'optional' }))
    .option('-o, --output <folder>', 'write a file for each object there, instead of all to standard output')
    .option('--json', 'print the objects as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway render --target kubernetes churn.yaml\n  slipway render --target kubernetes churn.yaml | kubectl diff -f -\n  slipway render --target kubernetes churn.yaml --output manifests\n  slipway render --target kubernetes --component metrics-adapter --image registry.example/slipway@sha256:...',
    )
    .action(render)
}

async function render(files: string[], options: RenderOptions): Promise<void> {
  const { output, json } = options
  const objects = await objectsOf(files, options)
  if (output === undefined) {
    process.stdout.write(
      json === true ? `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }, null, 2)}\n` : manifestOf(objects),
    )
    return
  }
  await mkdir(output, { recursive: true })
  const written = manifestFiles(objects)
  for (const [name, text] of written) await writeFile(join(output, name), text)
  if (json === true) print(JSON.stringify([...written.keys()]))
  else note(`${written.size} objects in ${output}; apply them with: kubectl apply --server-side -f ${output}`)
}

async function objectsOf(files: readonly string[], options: RenderOptions): Promise<KubernetesObject[]> {
  const { target, component } = options
  if ((component === undefined) === (files.length === 0))
    throw new SlipwayError('SLW_USAGE', 'name files of endpoint documents, or a component with --component')
  const documents = await endpointsOf(files, target)
  return component === undefined ? documents.flatMap((document) => renderEndpoint(document)) : await componentObjects(options)
}
