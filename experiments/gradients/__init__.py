"""How `experiments.check_gradients` compares derivatives with differences."""
