import type { RegistryGround } from '../models/dependents.ts'
import type { Strategy } from './strategy-port.ts'

/** The services that endpoints use. */
export interface DeliveryGround extends RegistryGround {
  /** Strategy that brings revisions into force. Default: at once. */
  readonly strategy?: Strategy | undefined
}
