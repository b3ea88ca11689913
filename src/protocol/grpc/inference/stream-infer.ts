import { SlipwayError } from '../../../core/errors.ts'
import { infer } from '../../../serving/inference.ts'
import { GrpcCaller } from './grpc-caller.ts'
import { readInferRequest } from './infer-request.ts'
import { writeStreamResponse } from './infer-response.ts'
import type { Answered } from '../../../serving/caller.ts'
import type { Parameters } from '../../v2/types.ts'
import type { Call, MessageTaker } from '../call.ts'
import type { GivenRequest } from './infer-request.ts'
import type { InferAnswer } from './infer-response.ts'
import type { InferenceHost } from './inference-host.ts'

/** Requests of one stream that are worked on or wait for those before them; further ones wait with the client. */
const REQUESTS_MAX = 64
/** Characters that a request id may have. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/

/** The answers to one request, until it is its turn. */
interface Turn {
  readonly waiting: Buffer[]
  inParts: boolean
  done: boolean
}

const NO_REQUEST: GivenRequest = { model: '', version: undefined, id: undefined, parameters: {}, inputs: [], outputs: undefined, raw: [] }

/**
 * ModelStreamInfer: requests are worked on side by side, and answered in the order in which they came, as clients of Triton expect. An error
 * is the answer to its request, and the stream goes on.
 */
export function streamInfer(host: InferenceHost, call: Call): MessageTaker {
  const turns: Turn[] = []
  let halfClosed = false
  let draining = false
  const flush = (): void => {
    const before = turns.length
    for (let first = turns[0]; first !== undefined; first = turns[0]) {
      for (const message of first.waiting.splice(0)) {
        if (first.inParts) call.sendPart(message)
        else call.send(message)
      }
      if (!first.done) break
      turns.shift()
    }
    if (turns.length === 0 && halfClosed) call.close()
    else if (turns.length === 0 && draining) call.fail(new SlipwayError('SLW_DRAINING', 'the server is shutting down'))
    else if (turns.length < before) call.resume()
  }
  return {
    message(message) {
      const turn: Turn = { waiting: [], inParts: false, done: false }
      turns.push(turn)
      let request = NO_REQUEST
      const tell = (answer: InferAnswer, error: string | undefined, done: boolean): void => {
        turn.waiting.push(writeStreamResponse(answer, error))
        turn.done = done
        flush()
      }
      const fail = (error: SlipwayError): number => {
        const { model, version = '', id } = request
        tell({ model, version, id, parameters: { slipway_code: error.code }, outputs: [] }, error.message, true)
        return error.kind.http
      }
      try {
        request = readInferRequest(message)
        const { id, parameters } = request
        const wantsFinal = parameters['triton_enable_empty_final_response'] === true
        const told = (answered: Answered, final: boolean): Parameters => ({
          slipway_variant: answered.subject.variant,
          slipway_prediction_id: answered.receipt(),
          ...(wantsFinal && { triton_final_response: final }),
        })
        const predictionId = host.nextId()
        const requestId = id !== undefined && REQUEST_ID.test(id) ? id : predictionId
        const startedMs = host.dataPlane.clock.monotonicMs()
        const caller = new GrpcCaller({
          call,
          host,
          message,
          request,
          predictionId,
          requestId,
          startedMs,
          reply: {
            answer(answer, answered, inParts) {
              // After parts, an answer without outputs says no more than that it was the last.
              if (!inParts || wantsFinal) tell({ ...answer, parameters: told(answered, true) }, undefined, true)
              else {
                turn.done = true
                flush()
              }
              return 200
            },
            part(answer, answered) {
              turn.inParts = true
              tell({ ...answer, parameters: told(answered, false) }, undefined, false)
            },
            fail,
          },
        })
        infer(host.dataPlane, caller)
      } catch (error) {
        fail(error instanceof SlipwayError ? error : new SlipwayError('SLW_INTERNAL', String(error), { cause: error }))
      }
      return turns.length < REQUESTS_MAX
    },
    end() {
      halfClosed = true
      flush()
    },
    drain() {
      draining = true
      flush()
    },
  }
}
