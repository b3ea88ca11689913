import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { writeModelPack } from '../../images/artifact/model-pack.ts'
import { writeModelVolume } from '../../images/artifact/model-volume.ts'
import { parseReference, referenceText } from '../../images/registry/reference.ts'
import { isModelFile } from '../../model/formats/formats.ts'
import { withCredentials } from '../credentials.ts'
import { print } from '../output.ts'
import { FOLLOW_LINKS, imageModel } from './models.ts'
import { asksImages, openNamed, progressNotes } from './registry-options.ts'
import { writeOutput } from './target.ts'
import type { Command } from 'commander'
import type { ModelContents } from '../../images/artifact/model-files.ts'
import type { ImageModel } from '../../images/build/build.ts'
import type { BlobSink, Descriptor } from '../../images/oci.ts'
import type { ContextOptions } from '../control-plane/contexts.ts'
import type { ImageRegistryOptions } from './registry-options.ts'

interface ModelOptions extends ContextOptions, ImageRegistryOptions {
  readonly form: string
  readonly push?: string
  readonly output?: string
  readonly followLinks?: boolean
  readonly json?: boolean
}

export function defineModel(command: Command): void {
  command.argument('<model>', 'a model file or folder, or a version of the control plane: MODEL@ALIAS or MODEL/NUMBER')
  withCredentials(asksImages(command, { sends: true }), 'file with an API key of the control plane; or SLIPWAY_API_KEY')
    .requiredOption(
      '--form <form>',
      'volume (an image of one layer, for volumes of Kubernetes and KServe) or modelpack (an artifact, a layer for each file)',
    )
    .option('--push <reference>', 'send it to a registry, HOST/NAME:TAG')
    .option('--output <path>', 'write it here: a folder in the layout of OCI, or a name that ends in .tar')
    .option('--follow-links', FOLLOW_LINKS)
    .option('--url <url>', 'the control plane; default: that of the context, else http://127.0.0.1:8480')
    .option('--context <name>', 'which control plane, as `slipway context` knows them')
    .option('--environment <name>', 'which environment of it; default: its first')
    .option('--json', 'print JSON')
    .action(model)
}

async function model(name: string, options: ModelOptions): Promise<void> {
  const { push, output, form } = options
  if (form !== 'volume' && form !== 'modelpack') throw new SlipwayError('SLW_USAGE', `--form ${form}: expected volume or modelpack`)
  if ((push === undefined) === (output === undefined))
    throw new SlipwayError('SLW_USAGE', 'give --push REFERENCE or --output PATH, and not both')
  const target = push === undefined ? undefined : parseReference(push)
  if (target?.digest !== undefined) throw new SlipwayError('SLW_USAGE', `${push}: what is made now has another digest; give a tag`)
  const folder = await mkdtemp(join(tmpdir(), 'slipway-image-'))
  try {
    const contents = await withFormat(
      await imageModel(name, { folder, context: options, isServed: false, followLinks: options.followLinks }),
    )
    const tag = target?.tag ?? contents.version ?? 'latest'
    const write = async (sink: BlobSink): Promise<Descriptor> =>
      form === 'volume' ? await writeModelVolume(sink, contents, tag) : await writeModelPack(sink, contents, await mainFile(contents), tag)
    const { digest } =
      target === undefined
        ? await writeOutput(output!, `${contents.name.toLowerCase()}:${tag}`, write)
        : await write(await openNamed(target, options, { onProgress: progressNotes('sent') }))
    const image = target === undefined ? output! : referenceText({ ...target, tag, digest })
    if (options.json === true)
      print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'ModelImage', form, image, digest, files: contents.files.length }))
    else print(`${target === undefined ? 'wrote' : 'pushed'} ${contents.name} as a ${form} of ${contents.files.length} files: ${image}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The file at the top that holds the model. */
async function mainFile({ files }: Pick<ModelContents, 'files'>): Promise<string | undefined> {
  for (const { path, file } of files) if (!path.includes('/') && (await isModelFile(file))) return path
  return undefined
}

async function withFormat({ name, version, files }: ImageModel): Promise<ModelContents> {
  const main = await mainFile({ files })
  return {
    name,
    ...(version !== undefined && { version: String(version) }),
    files,
    ...(main !== undefined && extname(main) === '.onnx' && { format: 'onnx' }),
  }
}
