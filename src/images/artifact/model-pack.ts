import { createReadStream } from 'node:fs'
import { basename, extname } from 'node:path'
import { writeManifest } from '../registry/referrers.ts'
import { MEDIA_TYPES } from '../oci.ts'
import { digestOfFile, inOrder, writeDocument } from './model-files.ts'
import type { BlobSink, Descriptor } from '../oci.ts'
import type { ModelContents } from './model-files.ts'

const PREFIX = 'application/vnd.cncf.model'
const FILE_PATH = 'org.cncf.model.filepath'
/** Documentation, code and configuration, by how names end; all else is weights. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [/^(readme|license|licence|notice|changelog)(\.|$)|\.(md|txt|pdf|html)$/i, 'doc'],
  [/\.(py|js|ts|sh|ipynb)$/i, 'code'],
  [/\.(json|yaml|yml|pbtxt|toml|ini|cfg)$|^mlmodel$/i, 'weight.config'],
]
/** Weights by their endings, also where text would be documentation or configuration: what a model is counts. */
const WEIGHTS = new Set(['.onnx', '.ubj', '.pt', '.safetensors', '.bin', '.pkl', '.joblib', '.data'])

/**
 * Writes a model as a ModelPack artifact, one layer for each file as it is: https://github.com/modelpack/model-spec (specs-go/v1,
 * docs/spec.md). Without times, so that the same model is the same artifact.
 * @param modelFile path of the file that holds the model, which is weights whatever its name
 * @returns its manifest
 */
export async function writeModelPack(
  sink: BlobSink,
  model: ModelContents,
  modelFile: string | undefined,
  tag?: string,
): Promise<Descriptor> {
  const layers: Descriptor[] = []
  for (const { path, file, size } of inOrder(model)) {
    const kind = path === modelFile ? 'weight' : kindOf(path)
    const layer = { mediaType: `${PREFIX}.${kind}.v1.raw`, digest: await digestOfFile(file), size, annotations: { [FILE_PATH]: path } }
    await sink.write(layer, () => createReadStream(file))
    layers.push(layer)
  }
  const config = await writeDocument(sink, `${PREFIX}.config.v1+json`, {
    descriptor: { name: model.name, ...(model.version !== undefined && { version: model.version }) },
    modelfs: { type: 'layers', diffIds: layers.map(({ digest }) => digest) },
    config: { ...(model.format !== undefined && { format: model.format }) },
  })
  return await writeManifest(
    sink,
    { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, artifactType: `${PREFIX}.manifest.v1+json`, config, layers },
    tag,
  )
}

function kindOf(path: string): string {
  if (WEIGHTS.has(extname(path).toLowerCase())) return 'weight'
  return KINDS.find(([pattern]) => pattern.test(basename(path)))?.[1] ?? 'weight'
}
