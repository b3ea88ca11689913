import { SlipwayError } from '../../core/errors.ts'
import { loadModel } from '../../library/load-model.ts'
import { answerSchema, rowSchema, schemaName } from '../../protocol/http/openapi.ts'
import { askServer, exampleBody, onlyModel } from '../server/server-client.ts'

/** The part of JSON Schema in which models are described. */
export interface Shape {
  readonly type?: string | readonly string[]
  readonly enum?: readonly (string | number | boolean)[]
  readonly anyOf?: readonly Shape[]
  readonly items?: Shape
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Shape | boolean
  readonly description?: string
  readonly default?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly format?: string
}

/** What is known of a model to those who call it. */
export interface ModelShape {
  readonly name: string
  readonly description: string | undefined
  readonly row: Shape
  readonly answer: Shape
}

/** The shape of a model on this machine. */
export async function shapeOfFile(path: string, sandboxPython: string | undefined): Promise<ModelShape> {
  await using model = await loadModel(path, { instances: 1, sandboxPython })
  const { signature, details, name } = model
  return { name, description: details.package.document.description, row: rowSchema(signature), answer: answerSchema(signature) }
}

interface Described {
  readonly paths?: Readonly<Record<string, { readonly post?: { readonly description?: string } }>>
  readonly components?: { readonly schemas?: Readonly<Record<string, Shape>> }
}

/** The shape of a model of a running server. @throws SLW_UNREACHABLE, SLW_USAGE where there are several models and none is named */
export async function shapeOfServer(url: string, named: string | undefined, apiKey: string | undefined): Promise<ModelShape> {
  const base = url.replace(/\/+$/, '')
  const name = named ?? (await onlyModel(base, apiKey))
  // Wakes a model that sleeps: the description has those alone that are loaded.
  await exampleBody(base, name, apiKey)
  const { paths, components } = (await (await askServer(`${base}/openapi.json`, { apiKey })).json()) as Described
  const row = components?.schemas?.[schemaName(name, 'row')]
  const answer = components?.schemas?.[schemaName(name, 'answer')]
  if (row === undefined || answer === undefined)
    throw new SlipwayError(
      'SLW_UNREACHABLE',
      `${base}/openapi.json does not describe the rows of "${name}"; is the server older than this command?`,
    )
  // The text of the package comes before the samples.
  const [description = ''] = (paths?.[`/models/${name}/predict`]?.post?.description ?? '').split('\n\n', 1)
  return { name, description: description === '' ? undefined : description, row, answer }
}
