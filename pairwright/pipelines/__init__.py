"""The recipe, the stages and the build. Model work happens in `sample` and `annotate`; the rest is arithmetic on stored rows."""
