import { Type } from 'typebox'
import { GATE_NAME } from './gates.ts'
import type { Static } from 'typebox'

/** Requirements of a model for its versions. */
export const ModelPolicy = Type.Object(
  {
    gatedAliases: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Aliases that only versions may have which satisfy what follows. Default: none.',
      }),
    ),
    approval: Type.Optional(
      Type.Boolean({ description: 'Somebody with the scope `protect` must have approved the version. Default: false.' }),
    ),
    secondPerson: Type.Optional(
      Type.Boolean({ description: 'Who has registered or promoted a version may not be the one who approves it. Default: false.' }),
    ),
    signedBy: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Names of signers, one of whom must have signed it. Default: no signature is needed.',
      }),
    ),
    gates: Type.Optional(
      Type.Union([Type.Boolean(), Type.Array(Type.String({ pattern: GATE_NAME }), { minItems: 1 })], {
        description:
          'Names of gates whose newest result for the version has passed; true: every gate that was run, and at least one. Default: none is asked for.',
      }),
    ),
    sandbox: Type.Optional(
      Type.Boolean({
        description:
          'Versions that run code when they are loaded (pickles of scikit-learn) may be served, by servers with a sandbox for them. Default: false.',
      }),
    ),
  },
  { additionalProperties: false, description: 'What a model asks of its versions.' },
)
export type ModelPolicy = Static<typeof ModelPolicy>
