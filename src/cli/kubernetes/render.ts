import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { manifestFiles, manifestOf } from '../../kubernetes/manifest.ts'
import { keyOf } from '../../kubernetes/object.ts'
import { renderEndpoint } from '../../kubernetes/render.ts'
import { note, print } from '../output.ts'
import { asksComponent, componentObjects } from './component.ts'
import { asksForm, madeOf } from './form.ts'
import { asksTarget, endpointsOf } from './target.ts'
import type { Command } from 'commander'
import type { KubernetesObject } from '../../kubernetes/object.ts'
import type { ComponentOptions } from './component.ts'
import type { FormOptions, Made } from './form.ts'

interface RenderOptions extends ComponentOptions, FormOptions {
  readonly target: string
  readonly output?: string
  readonly json?: true
}

export function define(command: Command): void {
  asksForm(asksComponent(asksTarget(command.argument('[files...]', 'files of endpoint documents; - reads standard input'))))
    .option('-o, --output <folder>', 'write files there, one for each object, instead of all to standard output')
    .option('--json', 'print the objects as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway render --target kubernetes churn.yaml\n  slipway render --target kubernetes churn.yaml | kubectl diff -f -\n  slipway render --target kubernetes churn.yaml --output manifests\n  slipway render --target kubernetes churn.yaml --as helm --output chart\n  slipway render --target kubernetes --component metrics-adapter --image registry.example/slipway@sha256:...',
    )
    .action(render)
}

async function render(files: string[], options: RenderOptions): Promise<void> {
  const { output, json } = options
  const { objects, texts } = await made(files, options)
  refuseTwice(objects)
  if (output === undefined) {
    if (texts !== undefined)
      throw new SlipwayError('SLW_USAGE', `--as ${options.as} makes a folder of files: say where, with --output FOLDER`)
    process.stdout.write(
      json === true ? `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }, null, 2)}\n` : manifestOf(objects),
    )
    return
  }
  const written = texts ?? manifestFiles(objects)
  // Those of an earlier rendering have other numbers, and would be applied after these.
  const before = await readdir(output).catch(() => [])
  for (const name of before)
    if (texts === undefined && /^\d{2,}-[a-z]+-.+\.yaml$/.test(name) && !written.has(name)) await rm(join(output, name))
  for (const [name, text] of written) {
    const path = join(output, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  if (json === true) print(JSON.stringify([...written.keys()]))
  else if (texts !== undefined) note(`${written.size} files in ${output}`)
  else note(`${written.size} objects in ${output}; apply them with: kubectl apply --server-side -f ${output}`)
}

async function made(files: readonly string[], options: RenderOptions): Promise<Made> {
  const { target, component, as } = options
  if ((component === undefined) === (files.length === 0))
    throw new SlipwayError('SLW_USAGE', 'name files of endpoint documents, or a component with --component')
  if (component !== undefined && as !== undefined)
    throw new SlipwayError('SLW_USAGE', '--as makes something of endpoints; a component is objects alone')
  const documents = await endpointsOf(files, target)
  if (component !== undefined) return { objects: await componentObjects(options) }
  return as === undefined ? { objects: documents.flatMap((document) => renderEndpoint(document)) } : madeOf(documents, { ...options, as })
}

/** The variant `next` of `churn` and an endpoint `churn-next` would have one Service. */
function refuseTwice(objects: readonly KubernetesObject[]): void {
  const keys = new Set<string>()
  for (const object of objects) {
    const key = keyOf(object)
    if (keys.has(key))
      throw new SlipwayError('SLW_CONFIG_INVALID', `two endpoints have ${object.kind} ${object.metadata.name}: one needs another name`)
    keys.add(key)
  }
}
