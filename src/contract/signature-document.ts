import { Type } from 'typebox'
import type { Static } from 'typebox'
import { FeatureSpec } from './model-package.ts'

const TensorDocument = Type.Object(
  {
    name: Type.String(),
    datatype: Type.String({ description: 'As the Open Inference Protocol writes it, such as FP32, INT64, BYTES.' }),
    shape: Type.Array(Type.Integer({ minimum: -1 }), { description: '-1 is a free dimension.' }),
    anyRank: Type.Optional(Type.Boolean({ description: 'The model gives no shape at all: any fits.' })),
    optional: Type.Optional(Type.Boolean({ description: 'May be left out of a request.' })),
  },
  { additionalProperties: false },
)
export type TensorDocument = Static<typeof TensorDocument>

/** Inputs and outputs of a version, as its clients see them: the contract that the next version is held to. */
export const SignatureDocument = Type.Object(
  {
    inputs: Type.Array(TensorDocument),
    outputs: Type.Array(TensorDocument),
    features: Type.Optional(Type.Array(FeatureSpec, { description: 'Columns that people fill in, where the package names them.' })),
    image: Type.Optional(Type.Boolean({ description: 'Takes pictures.' })),
    task: Type.Optional(Type.String({ description: 'classification, regression, ranking, embedding or tensors.' })),
    labels: Type.Optional(
      Type.Array(Type.Union([Type.String(), Type.Number(), Type.Boolean()]), { description: 'In the order of the probabilities.' }),
    ),
  },
  { additionalProperties: false, description: 'What a version takes and gives.' },
)
export type SignatureDocument = Static<typeof SignatureDocument>
