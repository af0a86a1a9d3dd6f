/** Curves as SVG, by Vega-Lite. */
import * as vega from 'vega';
import * as vegaLite from 'vega-lite';

const powersOfTen = Array.from({ length: 13 }, (_, i) => 10 ** (i - 6));

/**
 * @param {object} plot
 * @param {string} plot.title
 * @param {{ x: string, y: string }} plot.axes their titles; both are logarithmic
 * @param {{ curve: string, x: number, y: number }[]} plot.points
 * @param {string[]} plot.curves in the order of the legend
 * @returns {Promise<string>}
 */
export function plotSvg({ title, axes, points, curves }) {
  const scale = { type: 'log', nice: false, padding: 20 };
  const { spec } = vegaLite.compile({
    width: 520,
    height: 280,
    padding: 10,
    background: 'white',
    title,
    data: { values: points },
    mark: { type: 'line', point: true },
    encoding: {
      x: { field: 'x', type: 'quantitative', title: axes.x, scale, axis: { values: points.map(({ x }) => x) } },
      y: { field: 'y', type: 'quantitative', title: axes.y, scale, axis: { values: powersOfTen } },
      color: { field: 'curve', type: 'nominal', title: null, sort: curves, legend: { labelLimit: 0 } },
    },
  });
  return new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
}
