import assert from 'node:assert/strict'
import { isSlipwayError } from '../../src/core/errors.ts'
import { buildSignature } from '../../src/signature/signature.ts'
import { contents } from '../tensor/values.ts'
import type { ModelPackageDocument } from '../../src/contract/model-package.ts'
import type { ErrorCode, Issue } from '../../src/core/errors.ts'
import type { Signature, SignatureOptions } from '../../src/signature/signature.ts'
import type { Datatype } from '../../src/tensor/datatype.ts'
import type { Tensor, TensorSpec } from '../../src/tensor/tensor.ts'

export function spec(name: string, datatype: Datatype, shape: readonly number[] | undefined): TensorSpec {
  if (shape === undefined) return { name, datatype, shape: [], dimensionNames: [], anyRank: true }
  return { name, datatype, shape, dimensionNames: shape.map(() => undefined) }
}

export interface ModelFacts {
  readonly inputs: readonly TensorSpec[]
  readonly outputs?: readonly TensorSpec[]
  readonly classLabels?: readonly (string | number)[]
  /** Labels of a removed ZipMap, by output. */
  readonly zipped?: Readonly<Record<string, readonly (string | number)[]>>
  readonly defaults?: readonly Tensor[]
  readonly nanPolicy?: SignatureOptions['nanPolicy']
  readonly text?: SignatureOptions['text']
}

/** The signature of a model of which only this is known. */
export function signatureOf(facts: ModelFacts, document: ModelPackageDocument = {}): Signature {
  const { classLabels, defaults = [], inputs, outputs = [spec('y', 'FP32', [-1, 1])], zipped = {} } = facts
  const rewrite = {
    changes: [],
    labels: new Map(Object.entries(zipped)),
    maps: new Map(),
    defaults: new Map(defaults.map((tensor) => [tensor.name, tensor])),
  }
  const file = { platform: 'onnxruntime_onnx', inputs, outputs, classLabels, rewrite } as const
  return buildSignature({ file, document, source: 'm', nanPolicy: facts.nanPolicy, text: facts.text })
}

export function fp32(name: string, shape: readonly number[], ...values: number[]): Tensor {
  return { name, datatype: 'FP32', shape, data: Float32Array.from(values) }
}

/** Names, shapes and values, whatever memory they are in. */
export function shown(tensors: readonly Tensor[]): unknown {
  return tensors.map(contents)
}

/** For assert.throws and assert.rejects: an error of this code with exactly these issues, or a message that matches. */
export function refused(code: ErrorCode, expected: RegExp | Readonly<Record<string, string | RegExp>>): (error: unknown) => true {
  return (error) => {
    assert.ok(isSlipwayError(error), String(error))
    assert.equal(error.code, code, error.message)
    if (expected instanceof RegExp) assert.match(error.message, expected)
    else {
      const issues: readonly Issue[] = error.issues ?? []
      assert.deepEqual(
        issues.map(({ path }) => path),
        Object.keys(expected),
      )
      for (const { message, path } of issues) assert.match(message, new RegExp(expected[path]!), path)
    }
    return true
  }
}
