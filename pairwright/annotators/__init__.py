"""The methods, one file each. They yield requests and are sent results; none of them touches a model, a file or a clock."""
