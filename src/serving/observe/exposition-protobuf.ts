import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { HistogramData } from '../../contract/statistics/histogram.ts'
import type { MetricInfo } from './catalog.ts'
import type { Family, Labels } from './exposition.ts'

/** `io.prometheus.client.MetricType`. */
const TYPES = { counter: 0, gauge: 1, histogram: 4 } as const satisfies Record<MetricInfo['type'], number>
/** Field numbers of `io.prometheus.client` (metrics.proto of Prometheus' client_model). */
const FAMILY = { name: 1, help: 2, type: 3, metric: 4 } as const
const METRIC = { label: 1, gauge: 2, counter: 3, histogram: 7 } as const
const LABEL = { name: 1, value: 2 } as const
const HISTOGRAM = {
  sampleCount: 1,
  sampleSum: 2,
  bucket: 3,
  schema: 5,
  zeroThreshold: 6,
  zeroCount: 7,
  positiveSpan: 12,
  positiveDelta: 13,
} as const
const BUCKET = { cumulativeCount: 1, upperBound: 2 } as const
const SPAN = { offset: 1, length: 2 } as const
/** Field number in the messages Gauge and Counter. */
const VALUE = 1

/**
 * Metrics as Prometheus protobuf: one `MetricFamily` after the other, each after its length. The only form that carries
 * native histograms; the classic buckets go along for scrapers that want those. A counter keeps its whole name, `_total`
 * included: unlike OpenMetrics, this format has no suffix of its own.
 */
export function exposeProtobuf(families: readonly Family[]): Buffer {
  const writer = new BinaryWriter()
  for (const { name, info, samples } of families) {
    if (samples.length === 0) continue
    writer.fork()
    writer.tag(FAMILY.name, WireType.LengthDelimited).string(name)
    writer.tag(FAMILY.help, WireType.LengthDelimited).string(info.help)
    writer.tag(FAMILY.type, WireType.Varint).int32(TYPES[info.type])
    for (const { labels, value } of samples) {
      writer.tag(FAMILY.metric, WireType.LengthDelimited).fork()
      writeLabels(writer, labels)
      if (typeof value !== 'number') writeHistogram(writer, value)
      else {
        writer.tag(info.type === 'counter' ? METRIC.counter : METRIC.gauge, WireType.LengthDelimited).fork()
        writer.tag(VALUE, WireType.Bit64).double(value).join()
      }
      writer.join()
    }
    writer.join()
  }
  const bytes = writer.finish()
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function writeLabels(writer: BinaryWriter, labels: Labels): void {
  for (const [name, value] of Object.entries(labels)) {
    writer.tag(METRIC.label, WireType.LengthDelimited).fork()
    writer.tag(LABEL.name, WireType.LengthDelimited).string(name)
    writer.tag(LABEL.value, WireType.LengthDelimited).string(value).join()
  }
}

function writeHistogram(writer: BinaryWriter, data: HistogramData): void {
  writer.tag(METRIC.histogram, WireType.LengthDelimited).fork()
  writer.tag(HISTOGRAM.sampleCount, WireType.Varint).uint64(data.count)
  writer.tag(HISTOGRAM.sampleSum, WireType.Bit64).double(data.sum)
  let cumulative = 0
  for (const [index, count] of data.counts.entries()) {
    cumulative += count
    writer.tag(HISTOGRAM.bucket, WireType.LengthDelimited).fork()
    writer.tag(BUCKET.cumulativeCount, WireType.Varint).uint64(cumulative)
    writer
      .tag(BUCKET.upperBound, WireType.Bit64)
      .double(data.edges[index] ?? Number.POSITIVE_INFINITY)
      .join()
  }
  writer.tag(HISTOGRAM.schema, WireType.Varint).sint32(data.schema)
  // Greater than 0, which also tells a native histogram without observations from one that has only classic buckets.
  writer.tag(HISTOGRAM.zeroThreshold, WireType.Bit64).double(data.zeroThreshold)
  writer.tag(HISTOGRAM.zeroCount, WireType.Varint).uint64(data.zeroCount)
  writeNative(writer, data.native)
  writer.join()
}

/**
 * Native buckets: runs of neighbours as spans (the first offset is the index of the first bucket, a later one the number of
 * empty buckets before it), and each count as the difference to the one before.
 */
function writeNative(writer: BinaryWriter, native: HistogramData['native']): void {
  let end: number | undefined
  let length = 0
  let offset = 0
  const writeSpan = (): void => {
    if (length === 0) return
    writer.tag(HISTOGRAM.positiveSpan, WireType.LengthDelimited).fork()
    writer.tag(SPAN.offset, WireType.Varint).sint32(offset)
    writer.tag(SPAN.length, WireType.Varint).uint32(length).join()
  }
  for (const [index] of native) {
    if (index !== end) {
      writeSpan()
      offset = index - (end ?? 0)
      length = 0
    }
    length++
    end = index + 1
  }
  writeSpan()
  if (native.length === 0) return
  writer.tag(HISTOGRAM.positiveDelta, WireType.LengthDelimited).fork()
  let previous = 0
  for (const [, count] of native) {
    writer.sint64(count - previous)
    previous = count
  }
  writer.join()
}
