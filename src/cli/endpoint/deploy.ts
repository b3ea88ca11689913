import { MODEL_REFERENCE, modelReference } from '../../contract/endpoint.ts'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { API_VERSION } from '../../contract/schema.ts'
import { asksRegistry, clientOf, part } from '../control-plane/registry-command.ts'
import { changeEndpoint } from './apply-change.ts'
import { managerOf } from './documents.ts'
import { note } from '../output.ts'
import type { Command } from 'commander'
import type { ChangeOptions } from './apply-change.ts'
import type { EndpointAnswer } from '../../contract/delivery-api.ts'
import type { EndpointSpec } from '../../contract/endpoint.ts'
import type { RegistryClient } from '../control-plane/client.ts'

export function define(command: Command): void {
  asksRegistry(command.argument('<model>', 'MODEL@ALIAS, which is followed, or MODEL/NUMBER, which stays'), { changes: true })
    .option('--name <endpoint>', 'what clients call; default: the name of the model')
    .option('--allow-breaking', 'also where clients of the version before would not be understood any more')
    .option('--wait [duration]', 'until every server that follows serves it')
    .addHelpText('after', '\nExamples:\n  slipway deploy churn@champion\n  slipway deploy churn/3 --name churn-canary --wait')
    .action(deploy)
}

async function deploy(model: string, options: ChangeOptions & { name?: string }): Promise<void> {
  if (!MODEL_REFERENCE.test(model))
    throw new SlipwayError('SLW_USAGE', `"${model}" names no version; expected MODEL@ALIAS, such as churn@champion, or MODEL/NUMBER`)
  const client = await clientOf(options)
  const name = options.name ?? modelReference(model).model
  const present = await presentEndpoint(client, name)
  const manager = present?.metadata.managedBy
  if (manager !== undefined && manager.kind !== 'person' && manager.kind !== 'slipway')
    note(`warning: endpoint ${name} is looked after by ${manager.kind} ${manager.name}: what it says will undo this`)
  const { kind, name: managerName } = managerOf(undefined)
  await changeEndpoint(options, client, {
    method: 'PUT',
    path: `/endpoints/${part(name)}`,
    query: { managedBy: kind, managedByName: managerName },
    read: present,
    body: {
      apiVersion: API_VERSION,
      kind: 'Endpoint',
      metadata: { name, ...(present !== undefined && { labels: present.metadata.labels }) },
      spec: specOf(present?.spec, model),
    },
  })
}

export async function presentEndpoint(client: RegistryClient, name: string): Promise<EndpointAnswer | undefined> {
  return await client.ask<EndpointAnswer>(`/endpoints/${part(name)}`).catch((error: unknown) => {
    if (isSlipwayError(error) && error.code === 'SLW_NOT_FOUND') return undefined
    throw error
  })
}

/** The present spec with another model; all else in it stays. @throws SLW_USAGE where there are several variants */
function specOf(spec: EndpointSpec | undefined, model: string): EndpointSpec {
  if (spec === undefined) return { variants: [{ model }] }
  const [first, ...others] = spec.variants
  if (first === undefined || others.length > 0)
    throw new SlipwayError('SLW_USAGE', `the endpoint has ${spec.variants.length} variants: change its document, and apply that`)
  return { ...spec, variants: [{ ...first, model }] }
}
