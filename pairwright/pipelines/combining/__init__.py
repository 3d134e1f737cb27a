"""How several annotators' scores become one: settings, and one file per family of rules; `pipelines.combine` joins them."""
