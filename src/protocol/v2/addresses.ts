import type { DataPlane } from '../../serving/data-plane.ts'
import type { Loaded, Variant } from '../../serving/variant.ts'
import { LOAD_WAIT_MS } from '../../serving/data-plane.ts'

/** A model as calls of the protocol name it. */
export interface Named {
  readonly name: string
  /** Undefined, and empty as gRPC has it: none is named. */
  readonly version?: string | undefined
}

/** The version that is named, or the main one of the endpoint. @throws SLW_MODEL_NOT_FOUND */
export function variantAt(dataPlane: DataPlane, { name, version }: Named): Variant {
  const endpoint = dataPlane.endpoint(name)
  return version === undefined || version === '' ? endpoint.requireMain() : endpoint.decide({ version })!.variant
}

/** The version that is named, or all of the endpoint. @throws SLW_MODEL_NOT_FOUND */
export function variantsAt(dataPlane: DataPlane, { name, version }: Named): readonly Variant[] {
  return version === undefined || version === '' ? dataPlane.endpoint(name).variants : [variantAt(dataPlane, { name, version })]
}

/** A version in memory; one that was unloaded to save memory is loaded for that. @throws SLW_MODEL_NOT_READY, and as `DataPlane.activate` */
export async function loadedAt(dataPlane: DataPlane, variant: Variant): Promise<Loaded> {
  if (variant.loaded === undefined && variant.dormant) await dataPlane.activate(variant, dataPlane.clock.monotonicMs() + LOAD_WAIT_MS)
  return variant.requireReady()
}
