import { encodeBinary } from '../../tensor/binary.ts'
import { tensorDataToJson } from '../../tensor/json-writer.ts'
import type { Subject } from '../../serving/observe/events.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { V2Request } from './types.ts'

export interface V2Response {
  readonly body: string | Buffer
  /** Length of the JSON part, where raw tensors follow it. */
  readonly headerLength: number | undefined
}

/** Names as JSON, made once: they stand in every answer. */
const quoted = new Map<string, string>()

function quote(name: string): string {
  let text = quoted.get(name)
  if (text === undefined) quoted.set(name, (text = JSON.stringify(name)))
  return text
}

/** The answer of an inference, each output as JSON or raw as the request asked. All names come from models, so few are kept in `quoted`. */
export function writeV2Response(request: Omit<V2Request, 'inputs'>, subject: Subject, outputs: readonly Tensor[]): V2Response {
  const allBinary = request.parameters['binary_data_output'] === true
  const raw: Buffer[] = []
  let text = `{"model_name":${quote(subject.endpoint)},"model_version":${quote(subject.version)}`
  if (request.id !== undefined && request.id !== '') text += `,"id":${JSON.stringify(request.id)}`
  text += ',"outputs":['
  for (const [index, output] of outputs.entries()) {
    if (index > 0) text += ','
    text += `{"name":${quote(output.name)},"datatype":"${output.datatype}","shape":[${output.shape.join(',')}]`
    const asked = request.outputs?.[index]?.parameters['binary_data']
    if (asked === true || (asked === undefined && allBinary)) {
      const bytes = encodeBinary(output)
      raw.push(bytes)
      text += `,"parameters":{"binary_data_size":${bytes.length}}}`
    } else text += `,"data":${tensorDataToJson(output)}}`
  }
  text += ']}'
  if (raw.length === 0) return { body: text, headerLength: undefined }
  const header = Buffer.from(text)
  return { body: Buffer.concat([header, ...raw]), headerLength: header.length }
}
