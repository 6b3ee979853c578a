"""The paper's propositions, checked on distributions whose conditional mutual information is known."""
