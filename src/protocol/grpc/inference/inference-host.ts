import type { AccessOptions } from '../../http/access.ts'
import type { DialectHost } from '../../http/dialects/dialect.ts'

/** The parts of a server that the service uses. */
export interface InferenceHost extends Omit<DialectHost, 'defaultModel' | 'metrics' | 'vertex'> {
  readonly access: AccessOptions
  readonly nextId: () => string
  /** Why the server should get no traffic; undefined where it should. */
  readonly notReady: () => string | undefined
}
