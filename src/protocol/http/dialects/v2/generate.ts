/** The generate extension of Triton: members in, members out, all at once or as server-sent events. */
import { checkRows } from '../../../../signature/tensors.ts'
import { writeGenerateResponse } from '../../../v2/generate.ts'
import { preparedOf } from './infer.ts'
import type { Prepared } from '../../../../serving/caller.ts'
import type { Tensor } from '../../../../tensor/tensor.ts'
import type { V2Read } from '../../../bodies/readers.ts'
import type { Written } from '../../../bodies/types.ts'
import type { Answer, Conversation, DialectHost, PredictRoute, Streaming } from '../dialect.ts'

export function generateRoutes(host: DialectHost): PredictRoute[] {
  return ['/v2/models/:name', '/v2/models/:name/versions/:version'].flatMap((model) =>
    [false, true].map((isStream) => ({
      method: 'POST',
      path: `${model}/generate${isStream ? '_stream' : ''}`,
      target: ({ name = '', version }) => ({ name, version }),
      converse: () => generateConversation(host, isStream),
    })),
  )
}

function generateConversation({ bodies, limits }: DialectHost, isStream: boolean): Conversation {
  let asked: V2Read['asked']
  let check: (outputs: readonly Tensor[]) => void
  return {
    prepare(body, loaded) {
      const { signature } = loaded
      const prepared = (read: V2Read): Prepared => {
        asked = read.asked
        check = (outputs) => checkRows(signature, outputs, read.rows)
        return preparedOf(read, loaded)
      }
      const read = bodies.read('generate', { body, header: undefined, signature, limits })
      return read instanceof Promise ? read.then(prepared) : prepared(read)
    },
    answer({ subject, outputs }) {
      check(outputs)
      const written = bodies.write('generate', { asked, subject, outputs })
      return written instanceof Promise ? written.then(answerOf) : answerOf(written)
    },
    stream: isStream ? events(() => asked) : undefined,
  }
}

function answerOf({ body }: Written): Answer {
  return { type: 'application/json', body }
}

/** Server-sent events: one for each part, and one for an error after the first of them. */
function events(asked: () => V2Read['asked']): Streaming {
  const event = (json: string): string => `data: ${json}\n\n`
  return {
    type: 'text/event-stream; charset=utf-8',
    part: ({ subject, outputs }) => event(writeGenerateResponse(asked(), subject, outputs)),
    error: ({ message }) => event(JSON.stringify({ error: message })),
  }
}
