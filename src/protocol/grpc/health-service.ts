import { SlipwayError } from '../../core/errors.ts'
import { serviceName } from './methods.ts'
import { PREFIX_BYTES, sealMessage } from './message-reader.ts'
import { HEALTH } from './proto/health.ts'
import { decode, encode } from './proto/schema.ts'
import { SMALL_MESSAGE_BYTES, unary } from './unary.ts'
import type { GrpcService } from './methods.ts'
import type { Call, MessageTaker } from './call.ts'

export interface HealthHost {
  /** Why the server should get no traffic; undefined where it should. */
  readonly notReady: () => string | undefined
  /** Calls back whenever readiness may have changed. @returns a function that ends the calls */
  readonly watch: (changed: () => void) => () => void
}

type Status = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN'
const SERVICE = 'Health'
/** Pause between two looks for those who watch: the end of a server is told by nobody. */
const LOOK_MS = 500

/** The health checks of gRPC: every service is as ready as the server, which the empty name means. */
export function healthService(host: HealthHost, services: readonly GrpcService[]): GrpcService {
  const names = ['', ...services.map(serviceName)]
  const status = (service: string): Status => statusOf(names, service, host.notReady() === undefined)
  const watchers = new Watchers(host)
  return {
    schema: HEALTH,
    name: SERVICE,
    methods: [
      unary({ schema: HEALTH, service: SERVICE, name: 'Check', access: 'open' }, ({ service = '' }) => {
        const found = status(String(service))
        if (found === 'SERVICE_UNKNOWN') throw new SlipwayError('SLW_NOT_FOUND', `there is no service "${String(service)}"`)
        return { status: found }
      }),
      unary({ schema: HEALTH, service: SERVICE, name: 'List', access: 'open' }, () => ({
        statuses: Object.fromEntries(names.map((name) => [name, { status: status(name) }])),
      })),
      { name: 'Watch', access: 'open', messageBytes: SMALL_MESSAGE_BYTES, stream: (call) => watch(call, names, watchers) },
    ],
  }
}

type Told = (ready: boolean) => void

/** Those who watch: one look at the server is for all of them, as anybody may watch as often as he likes. */
class Watchers {
  readonly #host: HealthHost
  readonly #tells = new Set<Told>()
  #stop: (() => void) | undefined

  constructor(host: HealthHost) {
    this.#host = host
  }

  get ready(): boolean {
    return this.#host.notReady() === undefined
  }

  add(tell: Told): void {
    this.#tells.add(tell)
    if (this.#stop !== undefined) return
    const unwatch = this.#host.watch(() => this.#look())
    const timer = setInterval(() => this.#look(), LOOK_MS).unref()
    this.#stop = () => {
      unwatch()
      clearInterval(timer)
    }
  }

  delete(tell: Told): void {
    this.#tells.delete(tell)
    if (this.#tells.size > 0) return
    this.#stop?.()
    this.#stop = undefined
  }

  #look(): void {
    const { ready } = this
    for (const tell of this.#tells) tell(ready)
  }
}

/** Tells the status at once, and each time that it changes. */
function watch(call: Call, names: readonly string[], watchers: Watchers): MessageTaker {
  let service: string | undefined
  let told: Status | undefined
  const tell = (ready: boolean): void => {
    const now = statusOf(names, service!, ready)
    if (now === told) return
    told = now
    call.send(sealMessage(encode(HEALTH, 'HealthCheckResponse', { status: now }, PREFIX_BYTES)))
  }
  return {
    message(message) {
      if (service !== undefined) throw new SlipwayError('SLW_BAD_REQUEST', `${call.path} takes one message, a second one came`)
      const { service: asked = '' } = decode(HEALTH, 'HealthCheckRequest', message)
      service = String(asked)
      watchers.add(tell)
      call.onGone(() => watchers.delete(tell))
      tell(watchers.ready)
      return true
    },
    end() {
      if (service === undefined) throw new SlipwayError('SLW_BAD_REQUEST', `${call.path} takes one message, none came`)
    },
    drain() {
      if (service !== undefined) tell(watchers.ready)
      call.fail(new SlipwayError('SLW_DRAINING', 'the server is shutting down'))
    },
  }
}

function statusOf(names: readonly string[], service: string, ready: boolean): Status {
  if (!names.includes(service)) return 'SERVICE_UNKNOWN'
  return ready ? 'SERVING' : 'NOT_SERVING'
}
