import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { manifestFiles, manifestOf } from '../../kubernetes/manifest.ts'
import { renderEndpoint } from '../../kubernetes/render.ts'
import { note, print } from '../output.ts'
import { asksTarget, endpointsOf } from './target.ts'
import type { Command } from 'commander'

interface RenderOptions {
  readonly target: string
  readonly output?: string
  readonly json?: true
}

export function define(command: Command): void {
  asksTarget(command)
    .option('-o, --output <folder>', 'write a file for each object there, instead of all to standard output')
    .option('--json', 'print the objects as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway render --target kubernetes churn.yaml\n  slipway render --target kubernetes churn.yaml | kubectl diff -f -\n  slipway render --target kubernetes churn.yaml --output manifests',
    )
    .action(render)
}

async function render(files: string[], { target, output, json }: RenderOptions): Promise<void> {
  const objects = (await endpointsOf(files, target)).flatMap((document) => renderEndpoint(document))
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
