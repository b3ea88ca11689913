/**
 * A number as Kubernetes writes it (apimachinery, resource.Quantity): whole where it is, else in thousandths, such as 1500m. What is
 * finer is rounded up, as Kubernetes does: 1 thousandth is the least that a metric has.
 */
export function quantityOf(value: number): string {
  const thousandths = Math.ceil(Number((value * 1000).toFixed(3)))
  return thousandths % 1000 === 0 ? String(thousandths / 1000) : `${thousandths}m`
}
