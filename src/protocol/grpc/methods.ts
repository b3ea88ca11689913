import type { GrpcMethod } from './call.ts'
import type { Schema } from './proto/schema.ts'

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
