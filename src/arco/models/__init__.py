"""Networks: backbone, representation head, average teacher."""
