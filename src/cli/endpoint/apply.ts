import { asksRegistry, clientOf, part } from '../control-plane/registry-command.ts'
import { changeEndpoint } from './apply-change.ts'
import { managerOf, readDocuments } from './documents.ts'
import { RegistryClient } from '../control-plane/client.ts'
import type { Command } from 'commander'
import type { ChangeOptions } from './apply-change.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'

export function define(command: Command): void {
  asksRegistry(command, { changes: true })
    .requiredOption('-f, --file <file...>', 'files of endpoint documents; - reads standard input')
    .option('--allow-breaking', 'also where clients of the versions before would not be understood any more')
    .option('--wait [duration]', 'until every server that follows serves it')
    .addHelpText('after', '\nExamples:\n  slipway apply -f churn.yaml\n  slipway apply -f churn.yaml --dry-run')
    .action(apply)
}

async function apply(options: ChangeOptions & { file: string[] }): Promise<void> {
  // All files are read before anything is changed.
  const files = await Promise.all(options.file.map(async (path) => ({ path, documents: await readDocuments(path) })))
  const client = await clientOf(options)
  for (const { path, documents } of files)
    for (const document of documents) {
      const { kind, name } = managerOf(path)
      await changeEndpoint(options, within(client, document, options.reason), {
        method: 'PUT',
        path: `/endpoints/${part(document.metadata.name)}`,
        query: { managedBy: kind, managedByName: name },
        body: document,
      })
    }
}

/** A client for the environment that the document names, else for that of the context. */
export function within(
  client: RegistryClient,
  { metadata: { environment } }: EndpointDocument,
  reason: string | undefined,
): RegistryClient {
  return environment === undefined ? client : new RegistryClient({ ...client.target, environment }, reason)
}
