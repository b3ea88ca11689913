import { copyFile, mkdir, readdir, symlink, writeFile, chmod } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { modelFiles, modelPath } from './build.ts'
import { productionDependencies } from './dependencies.ts'
import { imageSettings, SLIPWAY_FOLDER } from './settings.ts'
import { slipwayFiles } from './slipway.ts'
import type { Platform } from '../oci.ts'
import type { ImageModel } from './build.ts'
import type { ImageFile } from './files.ts'

export interface DockerfileOptions {
  readonly models: readonly ImageModel[]
  readonly platform: Platform
  /** Folder of Slipway's package.json. */
  readonly root: string
}

/** Folder of the context, below which each file lies as it does in the image. */
const FILES = 'image'
const MS_PER_SECOND = 1000
const NS_PER_MS = 1_000_000

/**
 * Writes a Dockerfile with its context, for those who build with Docker, Podman or kaniko: the layers are those of `slipway build`, so that
 * a new model, or new code, moves no dependency. What it copies is all in the folder: nothing is installed while it is built.
 * @throws SLW_ALREADY_EXISTS where the folder is not empty
 */
export async function writeDockerfile(folder: string, { models, platform, root }: DockerfileOptions): Promise<void> {
  await mkdir(folder, { recursive: true })
  if ((await readdir(folder)).length > 0) throw new SlipwayError('SLW_ALREADY_EXISTS', `${folder} is not empty; name a new folder`)
  const { files } = await productionDependencies(root, SLIPWAY_FOLDER, { platform, gpu: false })
  for (const file of [...files, ...(await slipwayFiles(root, SLIPWAY_FOLDER)), ...modelFiles(models)])
    await place(join(folder, FILES), file)
  await writeFile(join(folder, 'Dockerfile'), dockerfile(models))
  // Whatever else comes to lie in the folder does not reach the builder.
  await writeFile(join(folder, '.dockerignore'), `*\n!${FILES}\n`)
}

async function place(folder: string, { path, content, mode }: ImageFile): Promise<void> {
  const target = join(folder, path)
  await mkdir(content.kind === 'directory' ? target : dirname(target), { recursive: true })
  if (content.kind === 'file') await copyFile(content.file, target)
  if (content.kind === 'bytes') await writeFile(target, content.bytes)
  if (content.kind === 'symlink') await symlink(content.target, target)
  if (content.kind === 'file' || content.kind === 'bytes') await chmod(target, mode ?? 0o644)
}

function quoted(pair: string): string {
  const [name = '', ...value] = pair.split('=')
  return `${name}=${JSON.stringify(value.join('=')).replaceAll('$', '\\$')}`
}

function dockerfile(models: readonly ImageModel[]): string {
  const settings = imageSettings({ base: { environment: [] }, modelPath: modelPath(models), labels: {}, environment: [] })
  const { Healthcheck: health, Env = [], ExposedPorts = {}, Entrypoint = [], Cmd = [] } = settings
  const seconds = (ns = 0): string => `${ns / NS_PER_MS / MS_PER_SECOND}s`
  const json = (words: readonly string[] = []): string => `[${words.map((word) => JSON.stringify(word)).join(', ')}]`
  const variables = Env.filter((pair) => !pair.startsWith('PATH='))
  return `# Any image with glibc, libstdc++ and certificates, and any with Node 24.15 or newer; pin them by their digests.
ARG BASE=debian:bookworm-slim
ARG NODE=node:24-bookworm-slim

FROM \${NODE} AS node

FROM \${BASE}
COPY --from=node /usr/local/bin/node /usr/local/bin/node
# From what changes least to what changes most: a new model moves the last layer alone.
COPY ${FILES}/${SLIPWAY_FOLDER}/node_modules /${SLIPWAY_FOLDER}/node_modules
COPY ${FILES}/${SLIPWAY_FOLDER}/package.json ${FILES}/${SLIPWAY_FOLDER}/LICENSE /${SLIPWAY_FOLDER}/
COPY ${FILES}/${SLIPWAY_FOLDER}/bin /${SLIPWAY_FOLDER}/bin
COPY ${FILES}/${SLIPWAY_FOLDER}/dist /${SLIPWAY_FOLDER}/dist
COPY ${FILES}/models /models
ENV ${variables.map(quoted).join(' \\\n    ')}
USER ${settings.User ?? ''}
WORKDIR /tmp
# A model that cannot be served ends the build, not the first start.
RUN ${json([...Entrypoint, 'serve', '--dry-run', '--insecure'])}
EXPOSE ${Object.keys(ExposedPorts).join(' ')}
STOPSIGNAL ${settings.StopSignal ?? ''}
HEALTHCHECK --interval=${seconds(health?.Interval)} --timeout=${seconds(health?.Timeout)} --start-period=${seconds(health?.StartPeriod)} --retries=${health?.Retries ?? 3} CMD ${json(health?.Test.slice(1))}
# The server loads and warms its models before /ready says so.
ENTRYPOINT ${json(Entrypoint)}
CMD ${json(Cmd)}
`
}
