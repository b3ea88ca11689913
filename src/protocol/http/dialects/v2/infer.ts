/** Predictions: tensors in, tensors out. */
import { checkRows } from '../../../../signature/tensors.ts'
import { classNamesOf } from '../../../v2/classification.ts'
import { runParameters } from '../../../v2/parameters.ts'
import { compress } from '../../content-coding.ts'
import type { Loaded } from '../../../../serving/variant.ts'
import type { Prepared } from '../../../../serving/caller.ts'
import type { Tensor } from '../../../../tensor/tensor.ts'
import type { V2Read } from '../../../bodies/readers.ts'
import type { Written } from '../../../bodies/types.ts'
import type { ClassNames } from '../../../v2/classification.ts'
import type { Answer, Asking, Conversation, DialectHost, PredictRoute } from '../dialect.ts'

const HEADER_LENGTH = 'inference-header-content-length'
/** Answers below this size go as they are: they fit into one packet. */
const COMPRESSED_FROM = 1400

export function inferRoutes(host: DialectHost): PredictRoute[] {
  return ['/v2/models/:name/infer', '/v2/models/:name/versions/:version/infer'].map((path) => ({
    method: 'POST',
    path,
    target: ({ name = '', version }) => ({ name, version }),
    converse: (request) => inferConversation(request, host),
  }))
}

function inferConversation(request: Asking, { bodies, limits }: DialectHost): Conversation {
  let asked: V2Read['asked']
  let classes: ClassNames | undefined
  let check: (outputs: readonly Tensor[]) => void
  return {
    prepare(body, loaded) {
      const { signature } = loaded
      const prepared = (read: V2Read): Prepared => {
        asked = read.asked
        check = (outputs) => checkRows(signature, outputs, read.rows)
        const asksForClasses = asked.outputs?.some(({ parameters }) => parameters['classification'] !== undefined) === true
        classes = asksForClasses ? classNamesOf(signature) : undefined
        return preparedOf(read, loaded)
      }
      const read = bodies.read('v2', { body, header: request.header(HEADER_LENGTH), signature, limits })
      return read instanceof Promise ? read.then(prepared) : prepared(read)
    },
    answer({ subject, outputs }) {
      check(outputs)
      const written = bodies.write('v2', { asked, subject, outputs, classes })
      const encoding = request.header('accept-encoding')
      return written instanceof Promise ? written.then((later) => answerOf(later, encoding)) : answerOf(written, encoding)
    },
  }
}

/** What a request of the protocol asks of its run. @throws as `runParameters`, and for outputs that the model has not */
export function preparedOf({ inputs, rows, warnings, asked }: V2Read, { requestedOutputs }: Loaded): Prepared {
  return {
    ...runParameters(asked.parameters),
    inputs,
    rows,
    warnings,
    outputs: requestedOutputs(asked.outputs?.map((output) => output.name)),
  }
}

function answerOf({ body, headerLength }: Written, encoding: string | undefined): Answer | Promise<Answer> {
  const answer: Answer =
    headerLength === undefined
      ? { type: 'application/json', body }
      : { type: 'application/octet-stream', body, headers: { [HEADER_LENGTH]: String(headerLength) } }
  // Most clients list what they could read; whoever names one coding alone wants it, as Triton's clients do when they are told to.
  if ((encoding !== 'gzip' && encoding !== 'deflate') || body.length < COMPRESSED_FROM) return answer
  return compress(body, encoding).then((packed) => ({
    ...answer,
    body: packed,
    headers: { ...answer.headers, 'content-encoding': encoding, vary: 'accept-encoding' },
  }))
}
