import { questionOf } from '../../../../signature/request.ts'
import { CONTAINER_TYPES } from '../../../bodies/container.ts'
import { acceptedOf } from '../accept.ts'
import type { Signature } from '../../../../signature/signature.ts'
import type { Question } from '../../../../signature/request.ts'
import type { Written } from '../../../bodies/types.ts'
import type { Answer, Asking, Conversation, DialectHost } from '../dialect.ts'

const ATTRIBUTES = 'x-amzn-sagemaker-custom-attributes'
/** Values of the header that may come back: SageMaker lets 1024 visible characters through. */
const ATTRIBUTES_FORM = /^[\x20-\x7e]{1,1024}$/

/** One invocation of a model, in a container for one or for many. @throws SLW_NOT_ACCEPTABLE */
export function invocation(request: Asking, { bodies, limits }: DialectHost): Conversation {
  const type = acceptedOf(request.header('accept'), CONTAINER_TYPES)
  let asked: { readonly signature: Signature; readonly question: Question; readonly many: boolean }
  const answerOf = ({ body }: Written): Answer => {
    const attributes = request.header(ATTRIBUTES)
    const echoed = attributes !== undefined && ATTRIBUTES_FORM.test(attributes)
    return { type, body, ...(echoed && { headers: { [ATTRIBUTES]: attributes } }) }
  }
  return {
    async prepare(body, { signature }) {
      const read = await bodies.read('container', { body, header: request.header('content-type'), signature, limits })
      const question = questionOf(signature, read)
      asked = { signature, question, many: read.many }
      return question
    },
    answer({ outputs }) {
      const { signature, question, many } = asked
      const written = bodies.write('container', { signature, outputs, asked: question.asked, rows: question.rows, many, type })
      return written instanceof Promise ? written.then(answerOf) : answerOf(written)
    },
  }
}
