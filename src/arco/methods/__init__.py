"""Fine-tuning methods: a file per method, each with the classes Settings and Method."""
