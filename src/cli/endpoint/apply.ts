import { asksRegistry, clientOf, part } from '../control-plane/registry-command.ts'
import { changeEndpoint } from './apply-change.ts'
import { managerOf, readDocuments } from './documents.ts'
import { RegistryClient } from '../control-plane/client.ts'
import { SlipwayError } from '../../core/errors.ts'
import { applyToCluster } from '../kubernetes/apply.ts'
import type { Command } from 'commander'
import type { ChangeOptions } from './apply-change.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'

interface ApplyOptions extends ChangeOptions {
  readonly file?: string[]
  readonly target?: string
  readonly namespace?: string
  readonly kubeconfig?: string
  readonly force?: boolean
  readonly timeout?: string
}

export function define(command: Command): void {
  asksRegistry(command.argument('[files...]', 'files of endpoint documents; - reads standard input'), { changes: true })
    .option('-f, --file <file...>', 'the same')
    .option('--allow-breaking', 'also where clients of the versions before would not be understood any more')
    .option('--wait [duration]', 'until every server that follows serves it')
    .option(
      '--target <target>',
      'apply to what endpoints run on, not to a control plane: kubernetes. --context is then one of the kubeconfig',
    )
    .option('--namespace <name>', 'with --target: default: that of the document, else of the context')
    .option('--kubeconfig <file>', 'with --target: default: KUBECONFIG, else ~/.kube/config, else the service account of the pod')
    .option('--force', 'with --target: also take over what others have set')
    .option('--no-wait', 'with --target: do not wait until all pods are ready')
    .option('--timeout <duration>', 'with --target: how long to wait; default: 10m')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway apply churn.yaml\n  slipway apply churn.yaml --dry-run\n  slipway apply --target kubernetes churn.yaml',
    )
    .action(apply)
}

async function apply(words: readonly string[], options: ApplyOptions): Promise<void> {
  const paths = [...words, ...(options.file ?? [])]
  if (paths.length === 0) throw new SlipwayError('SLW_USAGE', 'name the files of the endpoints: slipway apply churn.yaml')
  if (options.target !== undefined) return await applyToCluster(paths, options)
  const alone = (['namespace', 'kubeconfig', 'force', 'timeout'] as const).find((name) => options[name] !== undefined)
  if (alone !== undefined) throw new SlipwayError('SLW_USAGE', `--${alone} needs --target kubernetes`)
  // All files are read before anything is changed.
  const files = await Promise.all(paths.map(async (path) => ({ path, documents: await readDocuments(path) })))
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
