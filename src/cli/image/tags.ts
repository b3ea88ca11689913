import { print } from '../output.ts'
import { asksImages, openNamed } from './registry-options.ts'
import type { Command } from 'commander'
import type { ImageRegistryOptions } from './registry-options.ts'

interface TagsOptions extends ImageRegistryOptions {
  readonly json?: boolean
}

export function defineTags(command: Command): void {
  asksImages(command.argument('<repository>', 'such as ghcr.io/team/churn')).option('--json', 'print JSON').action(tags)
}

async function tags(name: string, options: TagsOptions): Promise<void> {
  const found = await (await openNamed(name, options)).tags()
  if (options.json === true) print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'ImageTags', repository: name, tags: found }))
  else if (found.length > 0) print(found.join('\n'))
}
