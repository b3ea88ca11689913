/** What the protocol says of models: metadata, configuration, statistics. */
import { loadedAt, variantAt, variantsAt } from '../../../v2/addresses.ts'
import { modelConfig } from '../../../v2/model-config.ts'
import { modelStatistics } from '../../../v2/statistics.ts'
import { permits } from '../../access.ts'
import type { Variant } from '../../../../serving/variant.ts'
import type { Signature } from '../../../../signature/signature.ts'
import type { TensorSpec } from '../../../../tensor/tensor.ts'
import type { Exchange } from '../../exchange.ts'
import type { Params, Route } from '../../routes.ts'
import type { DialectHost } from '../dialect.ts'

export function modelRoutes({ dataPlane, counts }: DialectHost): Route[] {
  const metadata = async (exchange: Exchange, { name = '', version }: Params): Promise<void> => {
    const variant = variantAt(dataPlane, { name, version })
    const signature = await dataPlane.signatureOf(variant)
    const versions = version === undefined ? dataPlane.endpoint(name).variants : [variant]
    exchange.json(200, JSON.stringify(modelMetadata(variant, signature, versions)))
  }
  const config = async (exchange: Exchange, { name = '', version }: Params): Promise<void> => {
    const variant = variantAt(dataPlane, { name, version })
    const loaded = await loadedAt(dataPlane, variant)
    const versions = dataPlane.endpoint(name).variants.map(({ subject }) => subject.version)
    exchange.json(200, JSON.stringify(modelConfig(variant, loaded, versions)))
  }
  const statistics = async (exchange: Exchange, variants: readonly Variant[]): Promise<void> =>
    exchange.json(200, JSON.stringify({ model_stats: modelStatistics(await counts(), variants) }))
  const statisticsOfAll = (exchange: Exchange): Promise<void> =>
    statistics(
      exchange,
      [...dataPlane.variants()].filter(({ subject }) => permits(exchange.caller, subject.endpoint)),
    )
  const statisticsOfOne = (exchange: Exchange, { name = '', version }: Params): Promise<void> =>
    statistics(exchange, variantsAt(dataPlane, { name, version }))
  const get = (path: string, handle: Route['handle']): Route => ({ method: 'GET', path, access: 'predict', handle })
  return [
    get('/v2/models/stats', statisticsOfAll),
    ...['/v2/models/:name', '/v2/models/:name/versions/:version'].flatMap((model) => [
      get(model, metadata),
      get(`${model}/config`, config),
      get(`${model}/stats`, statisticsOfOne),
    ]),
  ]
}

/** A shape as the protocol shows it: -1 for free dimensions. */
function tensorMetadata(spec: TensorSpec): { name: string; datatype: string; shape: readonly number[] } {
  return { name: spec.name, datatype: spec.datatype, shape: spec.anyRank === true ? [-1] : spec.shape }
}

function modelMetadata(variant: Variant, signature: Signature, versions: readonly Variant[]): object {
  return {
    name: variant.subject.endpoint,
    versions: versions.map((version) => version.subject.version),
    platform: signature.platform,
    inputs: signature.inputs.map(tensorMetadata),
    outputs: signature.outputs.map(tensorMetadata),
  }
}
