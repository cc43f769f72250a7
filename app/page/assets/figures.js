// plotly's script, which comes when the first figure is drawn, and the look that all figures share.
explorer.plotly = () => explorer.plotly.coming ??= new Promise((done) => {
  const script = document.createElement('script');
  script.src = 'plotly.min.js';
  script.onload = () => done(window.Plotly);
  script.onerror = () => {
    explorer.plotly.coming = null;
    explorer.say('The curves could not be loaded; open the tab again.');
    done(null);
  };
  document.head.append(script);
});
// How figures are drawn: without plotly's own buttons and hints.
explorer.figure = {displayModeBar: false, showTips: false};
// A template for figures inside an element, in its colours.
explorer.look = (element) => {
  const style = getComputedStyle(element), colour = (name) => style.getPropertyValue(name);
  const axis = {zeroline: false, gridcolor: colour('--line'), linecolor: colour('--line'), tickfont: {size: 10}};
  return {
    layout: {
      paper_bgcolor: 'transparent', plot_bgcolor: 'transparent', font: {family: style.fontFamily, size: 10, color: colour('--faint')},
      colorway: [colour('--accent'), colour('--second')], showlegend: false, margin: {l: 0, r: 0, t: 0, b: 0},
      xaxis: axis, yaxis: {...axis, showgrid: false},
      hoverlabel: {bgcolor: colour('--paper'), bordercolor: colour('--line'), font: {size: 11, color: colour('--ink')}},
    },
  };
};
