import { SlipwayError } from '../../core/errors.ts'
import { readDocuments } from '../endpoint/documents.ts'
import type { Command } from 'commander'
import type { EndpointDocument } from '../../contract/endpoint.ts'

/** Targets that are rendered and applied from a machine, by their names in `spec.target`. */
const RENDERED = ['kubernetes'] as const

/** Adds the option that names it. */
export function asksTarget(command: Command): Command {
  return command.requiredOption('--target <name>', 'where the endpoints run: kubernetes')
}

/** @throws SLW_USAGE for a target that is not rendered */
export function checkTarget(target: string | undefined): void {
  if (!RENDERED.includes(target as (typeof RENDERED)[number]))
    throw new SlipwayError('SLW_USAGE', `--target ${target ?? ''}: expected ${RENDERED.join(' or ')}`)
}

/** The endpoints of all files. @throws SLW_USAGE for a target that is not rendered; SLW_CONFIG_INVALID with the place of what is wrong */
export async function endpointsOf(files: readonly string[], target: string): Promise<EndpointDocument[]> {
  checkTarget(target)
  const read = await Promise.all(files.map(readDocuments))
  const documents = read.flat()
  const seen = new Set<string>()
  for (const { metadata } of documents) {
    if (seen.has(metadata.name)) throw new SlipwayError('SLW_CONFIG_INVALID', `endpoint "${metadata.name}" is in the files twice`)
    seen.add(metadata.name)
  }
  return documents
}
