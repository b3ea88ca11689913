import { Type } from 'typebox'
import type { Static } from 'typebox'
import { ReceiptKey } from './receipt.ts'
import { Routing } from './routing.ts'
import { API_VERSION } from './schema.ts'
import { ServingOptions } from './serving-options.ts'

/** One version inside an endpoint. */
export const VariantSpec = Type.Object(
  {
    name: Type.String({ minLength: 1, description: 'Name of the variant, unique in the endpoint.' }),
    model: Type.String({ minLength: 1, description: 'Name of the model.' }),
    version: Type.String({ minLength: 1, description: 'Version of the model.' }),
    path: Type.String({ minLength: 1, description: 'File or folder of the model package.' }),
    fingerprint: Type.Optional(
      Type.String({ description: 'Tells one content of the path from the next: another fingerprint is another version, and is loaded.' }),
    ),
    checked: Type.Optional(
      Type.Boolean({ description: 'The fingerprint is that of files whose bytes were checked: no others are loaded. Default: false.' }),
    ),
    parts: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Endpoints of this server that it consists of: it is an ensemble. Default: it is a model.',
      }),
    ),
    serving: Type.Optional(ServingOptions),
  },
  { additionalProperties: false },
)
export type VariantSpec = Static<typeof VariantSpec>

/** Identity of a variant: a spec with another identity is loaded anew. */
export function identityOf(spec: VariantSpec): string {
  return JSON.stringify(spec)
}

/** Key of one content of one path. */
export function contentKey({ path, fingerprint }: Pick<VariantSpec, 'path' | 'fingerprint'>): string {
  return `${path}\0${fingerprint ?? ''}`
}

/**
 * Desired state of one endpoint on a server: its versions have become paths on this machine. A bare `slipway serve model.onnx` is an
 * implicit endpoint of one variant at generation 1. The document that people declare is `EndpointDocument`.
 */
export const DesiredEndpoint = Type.Object(
  {
    apiVersion: Type.Literal(API_VERSION),
    kind: Type.Literal('Endpoint'),
    metadata: Type.Object(
      {
        name: Type.String({ minLength: 1 }),
        environment: Type.Optional(Type.String()),
        labels: Type.Optional(Type.Record(Type.String(), Type.String())),
        generation: Type.Integer({ minimum: 1 }),
      },
      { additionalProperties: false },
    ),
    spec: Type.Object({ variants: Type.Array(VariantSpec, { minItems: 1 }) }, { additionalProperties: false }),
    routing: Routing,
    receiptKeys: Type.Optional(
      Type.Array(ReceiptKey, {
        minItems: 1,
        description: 'The first signs receipts of predictions, all of them are believed. Default: one of the process alone.',
      }),
    ),
    mustFit: Type.Optional(
      Type.Boolean({
        description:
          'A version that does not fit into the memory budget beside what is loaded is one that cannot be loaded. Default: false, a request loads it in the place of the longest unused.',
      }),
    ),
    wanted: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Versions that are to be served, also those that cannot be: that others could not be loaded is of no interest any more. Default: those of the variants.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type DesiredEndpoint = Static<typeof DesiredEndpoint>

/** State of a variant, reported by the reconciler. `unloaded`: its memory was given back; a request loads it again. */
export type VariantPhase = 'waiting' | 'loading' | 'ready' | 'unloaded' | 'failed'
