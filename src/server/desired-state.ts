import { API_VERSION } from '../contract/schema.ts'
import { SlipwayError } from '../core/errors.ts'
import { findPackages } from '../model/layout.ts'
import type { EndpointDocument, VariantSpec } from '../contract/endpoint.ts'
import type { ServerConfig } from './options.ts'

/**
 * The endpoints that a list of paths stands for: one per model name, one variant per version. The highest version gets the
 * traffic; the others answer when they are named.
 * @throws SLW_CONFIG_INVALID when two paths give one name
 */
export async function desiredState(config: Pick<ServerConfig, 'models' | 'versions'>): Promise<EndpointDocument[]> {
  const sources = new Map<string, string>()
  const documents: EndpointDocument[] = []
  for (const entry of config.models) {
    const found = await findPackages({ path: entry.path, name: entry.name, versions: config.versions })
    const byName = Map.groupBy(found, (location) => location.name)
    for (const [name, locations] of byName) {
      const other = sources.get(name)
      if (other !== undefined)
        throw new SlipwayError('SLW_CONFIG_INVALID', `two models are named "${name}": ${other} and ${entry.path}; name one with NAME=PATH`)
      sources.set(name, entry.path)
      const newest = locations.at(-1)
      const variants: VariantSpec[] = locations.map((location) => ({
        name: `v${location.version}`,
        model: name,
        version: location.version,
        path: location.path,
        weight: location === newest ? 100 : 0,
        ...(entry.serving !== undefined && { serving: entry.serving }),
      }))
      documents.push({ apiVersion: API_VERSION, kind: 'Endpoint', metadata: { name, generation: 1 }, spec: { variants } })
    }
  }
  return documents
}
