"""The frozen vocabulary: values that every room shares and none changes."""
