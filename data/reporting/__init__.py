"""Self-contained HTML reports: typed sections and blocks, charts as inline SVG, one template."""
