import { SlipwayError } from '../../core/errors.ts'
import { serviceName } from './methods.ts'
import { PREFIX_BYTES, sealMessage } from './message-reader.ts'
import { HEALTH } from './proto/health.ts'
import { decode, encode } from './proto/schema.ts'
import { unary } from './unary.ts'
import type { GrpcService, MessageTaker } from './methods.ts'
import type { Call } from './call.ts'

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
  const status = (service: string): Status => {
    if (!names.includes(service)) return 'SERVICE_UNKNOWN'
    return host.notReady() === undefined ? 'SERVING' : 'NOT_SERVING'
  }
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
      { name: 'Watch', access: 'open', stream: (call) => watch(call, status, host) },
    ],
  }
}

/** Tells the status at once, and each time that it changes. */
function watch(call: Call, status: (service: string) => Status, host: HealthHost): MessageTaker {
  let service: string | undefined
  let told: Status | undefined
  const look = (): void => {
    if (service === undefined) return
    const now = status(service)
    if (now === told) return
    told = now
    call.send(sealMessage(encode(HEALTH, 'HealthCheckResponse', { status: now }, PREFIX_BYTES)))
  }
  const unwatch = host.watch(look)
  const timer = setInterval(look, LOOK_MS).unref()
  call.onGone(() => {
    unwatch()
    clearInterval(timer)
  })
  return {
    message(message) {
      const { service: asked = '' } = decode(HEALTH, 'HealthCheckRequest', message)
      service = String(asked)
      look()
      return true
    },
    end() {},
    drain() {
      look()
      call.fail(new SlipwayError('SLW_DRAINING', 'the server is shutting down'))
    },
  }
}
