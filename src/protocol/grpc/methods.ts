import type { RouteAccess } from '../http/routes.ts'
import type { Call } from './call.ts'
import type { Schema } from './proto/schema.ts'

/** What the messages of a call with several of them go to. */
export interface MessageTaker {
  /** @returns whether the client may send more; otherwise `Call.resume` lets it later */
  message(message: Buffer): boolean
  /** The client has sent its last message. */
  end(): void
  /** The server shuts down: what has been accepted is answered, and the call ended. */
  drain(): void
}

/** A method of a service. */
export interface GrpcMethod {
  readonly name: string
  readonly access: RouteAccess
  /** Answers a call with one message, which it answers or fails once. May throw. */
  readonly unary?: (call: Call, message: Buffer) => void | Promise<void>
  /** Takes a call with several messages. May throw. */
  readonly stream?: (call: Call) => MessageTaker
}

export interface GrpcService {
  readonly schema: Schema
  /** Its name in the schema. */
  readonly name: string
  readonly methods: readonly GrpcMethod[]
}

export function serviceName({ schema, name }: Pick<GrpcService, 'schema' | 'name'>): string {
  return `${schema.package}.${name}`
}

/** Methods by their paths. */
export function methodsByPath(services: readonly GrpcService[]): ReadonlyMap<string, GrpcMethod> {
  return new Map(
    services.flatMap((service) =>
      service.methods.map((method): [string, GrpcMethod] => [`/${serviceName(service)}/${method.name}`, method]),
    ),
  )
}
