import { questionOf } from '../../../signature/request.ts'
import { notReadyReason } from '../health.ts'
import { soleEndpoint } from './sole-endpoint.ts'
import type { SlipwayError } from '../../../core/errors.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { Question } from '../../../signature/request.ts'
import type { Written } from '../../bodies/types.ts'
import type { ErrorAnswer } from '../error-form.ts'
import type { Answer, Asking, Conversation, Dialect, DialectHost, DialectRoute } from './dialect.ts'

/** A container of an online endpoint of Azure Machine Learning, as its inference server has it. */
export const azureml: Dialect = {
  name: 'azureml',
  of: 'Azure Machine Learning',
  description: 'a container of Azure Machine Learning: /score with input_data, data or rows as JSON, / for health',
  differences: [
    'There is no scoring script: `input_data` and `data` are tables, lists of rows or objects of columns, and other members are refused by name.',
    'Rows without such a key are answered as `POST /predict` answers them.',
    'There is no `swagger.json` and no scoring by GET.',
  ],
  error: errorOf,
  routes,
}

/** Names under which callers follow a request through Azure. */
const REQUEST_IDS = ['x-ms-request-id', 'x-ms-client-request-id']

function routes(host: DialectHost): DialectRoute[] {
  return [
    {
      method: 'GET',
      path: '/',
      access: 'open',
      handle: (exchange) => {
        const reason = notReadyReason(host.dataPlane, { strict: false })
        exchange.send(reason === undefined ? 200 : 503, 'text/plain; charset=utf-8', reason ?? 'Healthy')
      },
    },
    {
      method: 'POST',
      path: '/score',
      target: () => ({ name: soleEndpoint(host), version: undefined }),
      converse: (request) => conversation(request, host),
    },
  ]
}

function conversation(request: Asking, { bodies, limits }: DialectHost): Conversation {
  let asked: { readonly signature: Signature; readonly question: Question; readonly many: boolean; readonly list: boolean }
  const answerOf = ({ body }: Written): Answer => ({ type: 'application/json', body, headers: idsOf(request) })
  return {
    async prepare(body, { signature }) {
      const read = await bodies.read('azureml', { body, header: undefined, signature, limits })
      const question = questionOf(signature, read)
      asked = { signature, question, many: read.many, list: read.list }
      return question
    },
    answer({ outputs }) {
      const { signature, question, many, list } = asked
      const answer = { signature, outputs, asked: question.asked, rows: question.rows }
      const written = list ? bodies.write('list', answer) : bodies.write('people', { ...answer, many, csv: false })
      return written instanceof Promise ? written.then(answerOf) : answerOf(written)
    },
  }
}

function idsOf(request: Asking): Record<string, string> {
  const found = REQUEST_IDS.map((name) => [name, request.header(name)] as const)
  return Object.fromEntries(found.filter((one): one is [string, string] => one[1] !== undefined && /^[\x21-\x7e]{1,128}$/.test(one[1])))
}

/** Azure's front tells its clients the status; the body is for the log of the deployment. */
function errorOf(error: SlipwayError): ErrorAnswer {
  const body = JSON.stringify({ error: { code: error.code, message: error.message } })
  return { status: error.kind.http, type: 'application/json', body }
}
